"use strict";
// What the pages do beside their libraries: plotly draws, DataTables sorts and filters.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const text = (words, style = "") => Object.assign(document.createElement("span"), { textContent: words, className: style });

// ------------------------------------------------------------------------------------------ tables

const WORDS = { search: "Filter", info: "_TOTAL_ rows", infoFiltered: "of _MAX_", infoEmpty: "no row", zeroRecords: "no row" };

function sortable(table) {
  const column = table.dataset.sort;
  const isShort = table.tBodies[0].rows.length < 8 || "static" in table.dataset;
  return new DataTable(table, {
    autoWidth: false,
    paging: false,
    order: column ? [[Number(column), "desc"]] : [],
    layout: { topStart: isShort ? null : "search", topEnd: null, bottomStart: isShort ? null : "info", bottomEnd: null },
    language: WORDS,
  });
}

// ------------------------------------------------------------------------------------------ the plot

function draw(plot, figure) {
  const { data, layout } = figure;
  const paint = () => {
    const [accent, point, thread, ink, line] = ["accent", "point", "thread", "ink", "line"].map(colour);
    const faint = colour("faint");
    for (const trace of data) {
      const isFront = trace.meta.role === "front";
      trace.line = { ...trace.line, color: isFront ? accent : thread, width: isFront ? 2 : 1 };
      trace.marker = { color: isFront ? accent : point, size: isFront ? 9 : 7, line: { width: 1, color: colour("paper") } };
      trace.textfont = { color: ink, size: 12 };
      trace.textposition = "top left";
      for (const axis of ["x", "y"]) trace[`error_${axis}`].color = isFront ? accent : point;
    }
    for (const axis of [layout.xaxis, layout.yaxis]) {
      Object.assign(axis, { gridcolor: line, linecolor: line, tickfont: { color: faint }, fixedrange: true });
      axis.title.font = { color: faint, size: 13 };
    }
    Object.assign(layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, family: getComputedStyle(document.body).fontFamily },
      hoverlabel: { bgcolor: colour("frame"), bordercolor: line, font: { color: ink }, align: "left" },
    });
    return Plotly.react(plot, data, layout, { displayModeBar: false, responsive: true });
  };
  paint().then(() => plot.on("plotly_click", ({ points }) => { location.href = `editors/${points[0].customdata}.html`; }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  return {
    bars(isOn) {
      for (const trace of data) trace.error_x.visible = trace.error_y.visible = isOn;
      paint();
    },
    keep(pages) {
      for (const trace of data) {
        const kept = trace.customdata.flatMap((page, number) => (pages.has(page) ? [number] : []));
        const isWhole = kept.length === trace.customdata.length;
        trace.selectedpoints = isWhole ? null : kept;
        trace.unselected = { marker: { opacity: 0.15 }, textfont: { color: "rgba(0,0,0,0)" } };
        trace.opacity = kept.length ? 1 : 0.35;
      }
      paint();
    },
  };
}

// ------------------------------------------------------------------------------------------ two editors

function load(page) {
  if (self.runs?.[page]) return Promise.resolve(self.runs[page]);
  return new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src: `data/${page}.js`, onerror: reject });
    script.onload = () => resolve(self.runs[page]);
    document.head.append(script);
  });
}

function sideBySide(table) {
  const { root, base } = table.dataset;
  const choices = ["a", "b", "set"].map((name) => document.getElementById(name));
  const named = (index) => (index < 0 ? "no answer" : self.images.classes[index]);
  const lines = (...spans) => {
    const cell = document.createElement("div");
    cell.className = "lines";
    cell.append(...spans);
    return cell;
  };
  const picture = ({ label, before, path }) => {
    const cell = document.createElement("div");
    cell.className = "what";
    if (path) {
      const alt = `A picture of ${named(label)}, which ${base} calls ${named(before)}`;
      cell.append(Object.assign(new Image(64, 64), { loading: "lazy", alt, src: root + path }));
    } else cell.append(text("not shown", "gone"));
    const spans = [text(named(label), "right")];
    if (before !== label) spans.push(text(named(before), "wrong"));
    cell.append(lines(...spans));
    return cell;
  };
  const answer = ({ label }, { edits, right, wrong }) => {
    if (!edits) return lines(text("not judged", "faint"));
    const isRight = 2 * right >= edits;
    const said = text(isRight ? named(label) : named(wrong), isRight ? "right" : "wrong");
    return lines(said, text(`${right} of ${edits} right`, "faint"));
  };
  const share = ({ edits, right }) => (edits ? right / edits : -1);
  const signed = (value) => (Math.abs(value) < 0.05 ? "0" : `${value > 0 ? "+" : "−"}${Math.abs(value).toFixed(0)}`);
  const column = (title, type, show, value) => ({
    title, type, data: null, className: "answer",
    render: (cell, kind, row) => (kind === "display" ? show(row) : value(row)),
  });
  const shown = new DataTable(table, {
    autoWidth: false,
    data: [],
    pageLength: 25,
    lengthChange: false,
    order: [[3, "desc"]],
    layout: { topStart: "search", topEnd: null, bottomStart: "info", bottomEnd: "paging" },
    language: { ...WORDS, info: "_START_ to _END_ of _TOTAL_ images", infoEmpty: "no image", zeroRecords: "no image" },
    columns: [
      column("image", "string", picture, (row) => `${named(row.label)} ${named(row.before)}`),
      column("first", "num", (row) => answer(row, row.a), (row) => share(row.a)),
      column("second", "num", (row) => answer(row, row.b), (row) => share(row.b)),
      {
        ...column("difference", "num", (row) => signed(100 * (share(row.a) - share(row.b))), (row) => Math.abs(share(row.a) - share(row.b))),
        className: "number",
      },
    ],
  });
  const of = (run, row) => ({ edits: run.edits[row], right: run.right[row], wrong: run.wrong[row] });

  async function show() {
    const [a, b] = await Promise.all(choices.slice(0, 2).map((choice) => load(choice.value)));
    const set = choices[2].value;
    const rows = self.images.rows.flatMap(([number, label, before, path], row) =>
      set && number !== Number(set) ? [] : [{ label, before, path, a: of(a, row), b: of(b, row) }]);
    shown.clear().rows.add(rows.filter((row) => row.a.edits || row.b.edits)).draw();
    const both = document.getElementById("both");
    const cell = (kind, words, style) => Object.assign(document.createElement(kind), { textContent: words, className: style ?? "" });
    const row = (kind, first, ...words) => {
      const line = document.createElement("tr");
      line.append(cell("th", first), ...words.map((word) => cell(kind, word, "number")));
      return line;
    };
    [a, b].forEach((run, number) => {
      shown.column(1 + number).header().querySelector(".dt-column-title").textContent = run.title;
    });
    both.tHead.replaceChildren(row("th", "", a.title, b.title));
    const theirs = new Map(b.scores);
    both.tBodies[0].replaceChildren(...a.scores.map(([name, words]) => row("td", name, words, theirs.get(name) ?? "–")));
  }

  function choose() {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const choice of choices) {
      const value = asked.get(choice.id);
      if ([...choice.options].some((option) => option.value === value)) choice.value = value;
    }
    show();
  }

  if (choices[1].options.length > 1) choices[1].selectedIndex = 1;
  for (const choice of choices) {
    choice.addEventListener("change", () => {
      history.replaceState(null, "", `#${new URLSearchParams(choices.map(({ id, value }) => [id, value]))}`);
      show();
    });
  }
  addEventListener("hashchange", choose);
  choose();
}

// ------------------------------------------------------------------------------------------ what is on this page

const tables = [...document.querySelectorAll("table.sortable")].map(sortable);
const plot = document.getElementById("plot");
if (plot) {
  const drawn = draw(plot, JSON.parse(document.getElementById("figure").textContent));
  document.getElementById("intervals").addEventListener("change", ({ target }) => drawn.bars(target.checked));
  const main = tables.find((table) => table.table().node().id === "runs");
  main.on("draw", () => drawn.keep(new Set(main.rows({ search: "applied" }).nodes().toArray().map((row) => row.dataset.page))));
}
const pair = document.getElementById("pair");
if (pair) sideBySide(pair);
