from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from mad.review.groups import read_candidates
from mad.review.images import LONGEST, find_images
from mad.review.server import HEADERS, TOKEN, About, create_app
from mad.review.session import Session
from mad.review.store import FILE, AnswerStore
from tests.mad.review.conftest import MEMBERS

OURS = "http://127.0.0.1:8765"


def client_of(session: Session, token: str = "secret") -> TestClient:
    return TestClient(
        create_app(session, token, About("search")), OURS, headers={TOKEN: "secret"}, follow_redirects=False
    )


@pytest.fixture
def client(session) -> Iterator[TestClient]:
    with client_of(session("ann")) as client:
        yield client


def answer(client: TestClient, letter: str) -> dict:
    key = client.get("/state").json()["item"]["key"]
    return client.post(f"/{'accept' if letter == 'y' else 'reject'}/{key}").json()


# -- what it does


def test_from_the_first_image_to_the_last(client: TestClient, store) -> None:
    state = client.get("/state").json()
    assert state["item"]["name"] == "a.jpg" and (state["done"], state["total"]) == (0, 6)
    assert state["group"]["strong"] == {"name": "volleyball", "also": "", "kind": "ball"}
    assert state["group"]["base"]["name"] == "basketball" and not state["undo"]
    names = []
    for letter in "ynynyn":
        names.append(state["item"]["name"])
        ahead = state["ahead"]
        state = answer(client, letter)
        assert [state["item"]["key"]] == ahead[:1] if state["item"] else ahead == []
    assert names == [image for images in MEMBERS.values() for image in images]
    assert state["item"] is None and state["group"] is None and state["done"] == 6
    assert store.read_table()["accepted"].tolist() == [True, False] * 3


def test_progress_by_group_and_a_jump_to_another(client: TestClient) -> None:
    answer(client, "y")
    state = client.get("/state", params={"group": "134-517"}).json()
    assert state["item"]["name"] == "e.png" and state["group"]["done"] == 0 and state["done"] == 1
    state = client.post(f"/accept/{state['item']['key']}").json()
    assert state["item"]["name"] == "f.jpg", "the answers go on in the group that was chosen"
    assert client.get("/state").json()["item"]["name"] == "f.jpg", "also after a reload"
    progress = [(group["id"], group["done"], group["size"]) for group in client.get("/groups").json()]
    assert progress == [("890-430", 1, 4), ("134-517", 1, 2)]
    state = client.post(f"/reject/{state['item']['key']}").json()
    assert state["item"]["name"] == "b.png", "after the last group comes what was left open before it"
    assert client.get("/state", params={"group": "no such"}).status_code == 200


def test_two_classes_of_one_name_are_told_apart(client: TestClient) -> None:
    group = client.get("/state", params={"group": "134-517"}).json()["group"]
    assert group["strong"]["name"] == group["base"]["name"] == "crane"
    assert (group["strong"]["kind"], group["base"]["kind"]) == ("wading bird", "lifting device")


def test_undo_takes_back_the_last_answer_of_this_annotator_only(session, store) -> None:
    with client_of(session("ann")) as ann, client_of(session("bo")) as bo:
        answer(ann, "y"), answer(ann, "n"), answer(bo, "n")
        state = ann.post("/undo").json()
        assert state["item"]["name"] == "b.png" and state["done"] == 1 and state["undo"]
        assert store.list_answered("bo") == [("890-430", "a.jpg")]
        assert ann.post("/undo").json()["undo"] is False
        assert ann.post("/undo").json()["done"] == 0
        assert store.list_answered("ann") == [] and store.list_answered("bo") == [("890-430", "a.jpg")]


def test_undo_reaches_back_behind_a_restart(session) -> None:
    with client_of(session("ann")) as ann:
        answer(ann, "y"), answer(ann, "y")
    with client_of(session("ANN")) as ann:
        assert ann.get("/state").json()["done"] == 2
        assert ann.post("/undo").json()["item"]["name"] == "b.png"


def test_an_answer_given_twice_counts_once(session, store) -> None:
    with client_of(session("ann")) as first, client_of(session("ann")) as second:
        key = first.get("/state").json()["item"]["key"]
        first.post(f"/accept/{key}")
        answer(first, "y")
        state = second.post(f"/reject/{key}").json()
        assert state["done"] == 2 and state["item"]["name"] == "c.webp", "the other window catches up"
    assert store.read_table()["accepted"].tolist() == [True, True]


def test_annotators_are_blind_to_each_other(session, answer_all) -> None:
    """All that Ann's server sends is the same whether or not Bo has answered."""

    def all_of_it() -> list[bytes]:
        with client_of(session("ann")) as ann:
            paths = ("/", "/state", "/groups", "/state?group=134-517")
            keys = [ann.get("/state").json()["item"]["key"], *ann.get("/state").json()["ahead"]]
            return [ann.get(path).content for path in (*paths, *(f"/image/{key}" for key in keys))]

    before = all_of_it()
    answer_all("bo", "ynyny")
    assert all_of_it() == before


# -- pictures


def test_pictures_are_encoded_anew(client: TestClient, pool: Path) -> None:
    response = client.get(f"/image/{client.get('/state').json()['item']['key']}")
    assert response.headers["content-type"] == "image/jpeg"
    shown = Image.open(io.BytesIO(response.content))
    assert shown.format == "JPEG" and shown.size == (40, 24)


def test_a_file_that_is_also_a_page_is_sent_as_a_picture_only(session, pool: Path) -> None:
    hostile = b"<script>alert(1)</script>"
    with Image.open(pool / "a.jpg") as image:
        image.save(pool / "a.jpg", comment=hostile, icc_profile=hostile, xmp=hostile)
    with (pool / "a.jpg").open("ab") as file:
        file.write(hostile)
    assert (pool / "a.jpg").read_bytes().count(hostile) == 4
    with client_of(session("ann")) as client:
        response = client.get(f"/image/{client.get('/state').json()['item']['key']}")
    assert response.status_code == 200 and b"script" not in response.content


def test_large_pictures_are_made_to_fit_a_screen(session, pool: Path) -> None:
    Image.new("RGB", (3 * LONGEST, LONGEST)).save(pool / "a.jpg")
    with client_of(session("ann")) as client:
        picture = client.get(f"/image/{client.get('/state').json()['item']['key']}").content
    assert Image.open(io.BytesIO(picture)).size == (LONGEST, round(LONGEST / 3))


def test_what_does_not_open_can_only_be_rejected(session, pool: Path, store) -> None:
    (pool / "a.jpg").write_text("<svg onload=alert(1)>")
    with client_of(session("ann")) as client:
        key = client.get("/state").json()["item"]["key"]
        response = client.get(f"/image/{key}")
        assert response.status_code == 404 and response.text == "not an image"
        refused = client.post(f"/accept/{key}")
        assert refused.status_code == 409 and "only be rejected" in refused.text
        assert client.post(f"/reject/{key}").json()["done"] == 1
    assert store.read_table()["accepted"].tolist() == [False]


# -- what is refused


@pytest.mark.parametrize(
    "path",
    [
        "/image/a.jpg",
        "/image/../pool/a.jpg",
        "/image/..%2f..%2fsecret.png",
        "/image/%2fetc%2fpasswd",
        "/../secret.png",
        "/review.sqlite",
        "/page.html.jinja",
        "/assets/review.js",
    ],
)
def test_nothing_is_found_by_its_path(path: str, session, pool: Path) -> None:
    (pool.parent / "secret.png").write_bytes((pool / "e.png").read_bytes())
    with client_of(session("ann")) as client:
        assert client.get(path).status_code == 404
        assert client.post(f"/accept/{path.removeprefix('/image/')}").status_code == 404


def test_an_image_outside_the_pool_is_refused(write_search, pool: Path, store) -> None:
    """Also if the search's own table names it."""
    (pool / "a.jpg").rename(pool.parent / "secret.jpg")
    outside = ["../secret.jpg", str(pool.parent / "secret.jpg")]
    candidates = read_candidates(write_search({"890-430": outside}))
    with client_of(Session(candidates.images, find_images(candidates), store, "ann")) as client:
        for _ in outside:
            key = client.get("/state").json()["item"]["key"]
            assert (client.get(f"/image/{key}").status_code, client.get(f"/image/{key}").text) == (
                404,
                "not in the pool",
            )
            assert client.post(f"/accept/{key}").status_code == 409
            assert client.post(f"/reject/{key}").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "169.254.1.1:8765"])
@pytest.mark.parametrize("path", ["/", "/state", "/review.js"])
def test_another_hosts_name_is_refused(host: str, path: str, client: TestClient) -> None:
    response = client.get(path, headers={"host": host})
    assert response.status_code == 400 and "secret" not in response.text


def test_nothing_changes_without_the_token(session, store) -> None:
    with client_of(session("ann"), token="another") as client:
        key = client.get("/state").json()["item"]["key"]
        for headers in ({TOKEN: "secret"}, {TOKEN: ""}, {TOKEN: b"\xe9"}, {"origin": "http://evil.example"}):
            for path in (f"/accept/{key}", f"/reject/{key}", "/undo"):
                response = client.post(path, headers=headers)
                assert response.status_code == 403 and "reload" in response.text
        assert client.get(f"/accept/{key}").status_code == 405
    assert store.read_table().empty


def test_every_response_is_guarded(client: TestClient) -> None:
    for response in (client.get("/"), client.get("/nowhere"), client.get("/", headers={"host": "x"}), client.post("/")):
        assert HEADERS.items() <= response.headers.items()
        assert response.headers["cache-control"] == "no-store"
    policy = HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


def test_the_page_escapes_and_loads_nothing_from_elsewhere(session) -> None:
    hostile = "<script>alert(1)</script>"
    with TestClient(create_app(session(hostile), "secret", About('"><img src=x>', ('"><img src=x>',))), OURS) as client:
        html = client.get("/").text
        links = re.findall(r'(?:src|href)="([^"]*)"', html)
        assert sorted(links) == ["/icon.svg", "/review.css", "/review.js"]
        for link in links:
            assert client.get(link).status_code == 200
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", client.get(link).text)
    assert hostile not in html and "&lt;script&gt;" in html and "<img src=x" not in html


def test_an_answer_that_cannot_be_kept_is_not_counted(session, store, search_folder: Path) -> None:
    import sqlite3

    with client_of(session("ann")) as client:
        key = client.get("/state").json()["item"]["key"]
        with sqlite3.connect(search_folder / "review.sqlite") as other:
            other.execute("ALTER TABLE answers RENAME TO gone")
        response = client.post(f"/accept/{key}")
        assert response.status_code == 503 and "could not be kept" in response.text
        assert client.get("/state").json()["done"] == 0


def test_two_processes_of_one_annotator_see_each_others_answers_and_undo(
    candidates, pool_images, search_folder: Path
) -> None:
    first, second = (
        Session(candidates.images, pool_images, AnswerStore(search_folder / FILE), "ann") for _ in range(2)
    )
    item = first.view()["item"]
    first.answer(item["key"], True)
    seen = second.view()
    assert seen["done"] == 1 and seen["item"] != item
    assert second.undo()["item"] == item and first.view()["item"] == item
    assert first.view()["undo"] is False and first.view()["done"] == 0
    second.answer(item["key"], False)
    assert first.list_groups()[0]["done"] == 1
