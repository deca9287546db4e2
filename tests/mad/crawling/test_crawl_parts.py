"""Keywords against WordNet's own index, near duplicates against all pairs, and other parts by hand."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.labels import imagenet
from mad.crawling import keywords as words
from mad.crawling import web
from mad.crawling.duplicates import BANDS, NEAR, compute_phash, count_different_bits, split_into_bands
from mad.crawling.flickr import Licence, choose_licences, read_photo
from mad.crawling.index import Index
from mad.mining.wordnet import DEBIAN, read_synsets
from tests.mad.flickr_server import LICENCES

# -- keywords


@pytest.mark.parametrize(
    ("index", "texts"),
    [
        (134, ["crane bird"]),  # n02012849: its parent is "wading bird, wader"
        (517, ["crane device"]),  # n03126707: "lifting device"
        (264, ["Cardigan corgi", "Cardigan Welsh corgi"]),
        (474, ["cardigan sweater"]),
        (573, ["go-kart"]),
        (644, ["matchstick"]),
        (752, ["racket implement", "racquet"]),  # "sports implement"; racquet has one sense, racket several
    ],
)
def test_keywords_by_hand(index: int, texts: list[str]) -> None:
    assert [keyword.text for keyword in words.find_keywords([index])] == texts
    assert {keyword.class_index for keyword in words.find_keywords([index])} == {index}


def test_every_class_has_keywords_and_none_has_anothers() -> None:
    all_keywords = words.find_keywords(range(1000))
    assert {keyword.class_index for keyword in all_keywords} == set(range(1000))
    assert len({keyword.text.lower() for keyword in all_keywords}) == len(all_keywords) > 1500
    for keyword in all_keywords:
        lemmas = [lemma.lower() for lemma in read_synsets()[imagenet.synsets()[keyword.class_index]].lemmas]
        assert any(keyword.text.lower().startswith(lemma) for lemma in lemmas)


@pytest.mark.skipif(not DEBIAN.with_name("index.noun").is_file(), reason="needs Debian's wordnet-base")
def test_the_packaged_list_has_the_lemmas_with_several_senses() -> None:
    senses = {}
    for line in DEBIAN.with_name("index.noun").read_text().splitlines():
        if not line.startswith(" "):
            lemma, _, count, *_ = line.split()  # man 5 wndb: the third field counts the synsets of a lemma
            senses[lemma.replace("_", " ")] = int(count)
    ours = {lemma.lower() for id in imagenet.synsets() for lemma in read_synsets()[id].lemmas}
    packaged = words.POLYSEMOUS.read_text().splitlines()
    assert packaged == sorted(lemma for lemma in ours if senses[lemma] > 1)


@pytest.mark.skipif(not DEBIAN.is_file(), reason="needs Debian's wordnet-base")
def test_the_list_can_be_made_again(tmp_path: Path) -> None:
    words.write_ambiguous(DEBIAN, tmp_path)
    assert (tmp_path / words.POLYSEMOUS.name).read_bytes() == words.POLYSEMOUS.read_bytes()


# -- near duplicates


def test_the_look_up_finds_what_comparing_all_pairs_finds(tmp_path: Path) -> None:
    draw = random.Random(0)
    hashes = [f"{draw.getrandbits(64):016x}" for _ in range(300)]
    for phash in hashes[:200]:
        flipped = sum(1 << bit for bit in draw.sample(range(64), draw.randint(0, 6)))
        hashes.append(f"{int(phash, 16) ^ flipped:016x}")
    index = Index(tmp_path / "crawl")
    with index.db:
        for number, phash in enumerate(hashes):
            index.add_picture(str(number), f"sha-{number}", phash)
    for phash in hashes:
        expected = {i for i, other in enumerate(hashes) if bin(int(phash, 16) ^ int(other, 16)).count("1") <= NEAR}
        assert {int(origin) for origin, _ in index.find_near(phash)} == expected
    index.close()


def test_bands_are_the_whole_hash() -> None:
    assert split_into_bands("0123456789abcdef") == (0xCDEF, 0x89AB, 0x4567, 0x0123) and BANDS == 4
    assert count_different_bits("0000000000000000", "8000000000000003") == 3


def test_a_photograph_stays_near_itself_in_other_sizes_and_encodings() -> None:
    import matplotlib

    photo = Image.open(Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")).convert("RGB")
    own = compute_phash(photo)
    for side in (500, 320, 240):
        for quality in (95, 75, 40):
            buffer = io.BytesIO()
            photo.resize((side * photo.width // photo.height, side)).save(buffer, "JPEG", quality=quality)
            assert count_different_bits(own, compute_phash(Image.open(buffer).convert("RGB"))) <= NEAR
    assert count_different_bits(own, compute_phash(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT))) > NEAR
    assert count_different_bits(own, compute_phash(photo.rotate(90))) > NEAR


# -- answers of Flickr, and the pace of requests


def test_the_smallest_size_that_is_large_enough_is_chosen() -> None:
    entry = {"id": 1, "owner": "x", "url_z": "http://z", "width_z": "640", "height_z": "200"}
    entry |= {
        "url_c": "http://c",
        "width_c": 800,
        "height_c": 256,
        "url_l": "http://l",
        "width_l": 1024,
        "height_l": 320,
    }
    chosen = read_photo(entry)
    assert chosen is not None and chosen.url == "http://c"
    small = read_photo({**entry, "height_c": 250, "height_l": 255})
    assert small is not None and small.url == "http://l"
    assert read_photo({**entry, "url_z": "file:///etc/passwd", "url_c": "", "url_l": None}) is None
    odd = read_photo({**entry, "title": "half \ud83d", "dateupload": "soon"})
    assert odd is not None and odd.title == "half ?" and odd.date_upload == 0


def test_licences_by_name_are_all_their_versions() -> None:
    known = [Licence(*licence) for licence in LICENCES]
    assert list(choose_licences(["by"], known)) == ["4", "11"]
    assert list(choose_licences(["CC0", "pdm", "7"], known)) == ["9", "10", "7"]
    with pytest.raises(UserError, match='did you mean "by-sa"'):
        choose_licences(["by-as"], known)


def test_requests_are_evenly_spaced(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now, slept = 100.0, 0.0

        def monotonic(self) -> float:
            return self.now

        def sleep(self, seconds: float) -> None:
            self.now, self.slept = self.now + seconds, self.slept + seconds

    clock = Clock()
    monkeypatch.setattr(web, "time", clock)
    pace = web.Pace(4)
    for _ in range(5):
        pace.wait()
    assert clock.slept == 1.0  # the first at once, four gaps of a quarter
    clock.now += 10
    pace.wait()
    pace.wait()
    assert clock.slept == 1.25  # a pause saves nothing up
    free = web.Pace(0)
    free.wait()
    free.wait()
    assert clock.slept == 1.25


@pytest.mark.parametrize("column", ["sha256", "photo_id"])
def test_an_index_whose_names_are_other_paths_removes_and_writes_nothing(column: str, tmp_path: Path) -> None:
    own = tmp_path / "mine.jpg"
    own.write_bytes(b"ours")
    index = Index(tmp_path / "crawl")
    with index.db:
        index.db.execute("INSERT INTO photo (photo_id, state) VALUES ('1', 'taken down')")
        index.db.execute(f"UPDATE photo SET {column} = ?", (f"../../{tmp_path / 'mine'}",))
    index.close()
    with pytest.raises(UserError, match="would be another path"):
        Index(tmp_path / "crawl")
    assert own.read_bytes() == b"ours"
