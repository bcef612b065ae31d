"""What names say, and that the reader holds to it in trees made by grammar."""

from __future__ import annotations

import random
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalist.data import open_dataset
from anomalist.data.mvtec_ad import CATEGORIES
from anomalist.data.roles import is_kind, is_neutral, is_place, meaning_of
from anomalist.data.words import WEAK, WORDS, Role
from anomalist.errors import DataError

# Products and kinds of defects of the field's data sets.
PRODUCTS = (
    *CATEGORIES,
    *("candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1", "pcb1", "pipe_fryum"),
    *("breakfast_box", "juice_bottle", "pushpins", "screw_bag", "splicing_connectors"),
    *("can", "fabric", "fruit_jelly", "rice", "sheet_metal", "vial", "wallplugs", "walnuts"),
    *("audiojack", "bottle_cap", "button_battery", "end_cap", "eraser", "fire_hood", "mint"),
    *("mounts", "pcb", "phone_battery", "plastic_nut", "plastic_plug", "porcelain_doll", "switch"),
    *("regulator", "rolled_strip_base", "sim_card_set", "tape", "terminalblock", "toy", "usb"),
    *("toy_brick", "transistor1", "u_block", "usb_adaptor", "vcpill", "wooden_beads", "woodstick"),
    *("bracket_black", "bracket_white", "connector", "metal_plate", "tubes", "bagel", "cookie"),
    *("cable_gland", "carrot", "dowel", "foam", "peach", "potato", "rope", "tire", "brass_key"),
)
KINDS = (
    *("large", "contamination", "bent_wire", "cable_swap", "combined", "cut_inner_insulation"),
    *("missing_cable", "poke_insulation", "crack", "imprint", "squeeze", "color", "cut", "hole"),
    *("metal_contamination", "thread", "glue", "print", "fold", "flip", "pill_type", "glue_strip"),
    *("gray_stroke", "oil", "rough", "liquid", "manipulated_front", "scratch_head", "bent_lead"),
    *("misplaced", "fabric_border", "split_teeth", "thread_side", "logical_anomaly_x", "no_label"),
    *("label_torn", "missing_label", "printed_label", "no_hole", "positive_pressure", "boat"),
)


def written(word: str, rng: random.Random, role: Role) -> str:
    """A word as somebody may have typed it."""
    text = "".join(rng.choice((c.lower(), c.upper())) if len(c.upper()) == 1 else c for c in word)
    text = rng.choice((" ", "_", "-", ".")).join(text.split())
    if rng.random() < 0.3:
        text = unicodedata.normalize(rng.choice(("NFC", "NFD")), text)
    number = rng.choice(("", "", "1", "_02", "-2024", " 7"))
    return rng.choice((text + number, text, f"{rng.randrange(9)}_{text}", f"{text}_images"))


ALL = [
    (role, phrase.strip())
    for role, languages in WORDS.items()
    for phrases in languages.values()
    for phrase in phrases.split(",")
]


def role_of(name: str) -> Role | None:
    meaning = meaning_of(name)
    return meaning.what or meaning.split


@pytest.mark.parametrize("role", Role)
def test_every_word_of_the_table_is_known_however_it_is_written(role: Role) -> None:
    rng = random.Random(0)
    # A word that languages use for two things has the meaning that is safe.
    safe = {phrase: known for known, phrase in reversed(ALL) if known is not Role.GOOD}
    for known, phrase in ALL:
        if known is role:
            for _ in range(5):
                name = written(phrase, rng, role)
                found = role_of(name)
                assert found is role or (found is not Role.GOOD and phrase in safe), name


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *(
            (n, Role.GOOD)
            for n in (
                "Gutteile",
                "okParts",
                "i.O.",
                "no_defects",
                "defect-free",
                "OK品",
                "sans défaut",
                "NonDefective",
                "无缺陷",
                "ＯＫ",
            )
        ),
        *(
            (n, Role.DEFECTIVE)
            for n in (
                "n.i.O.",
                "NotGood",
                "not ok",
                "nichtgut",
                "不良品",
                "NG品",
                "非良品",
                "iyi_değil",
                "Ausschuß",
                "non_conforme",
                "bad2",
            )
        ),
        *(
            (n, Role.MASK)
            for n in (
                "GroundTruth",
                "gt",
                "bad_masks",
                "scratch-GT",
                "Label",
                "test_labels",
                "Annotation Masks",
                "マスク画像",
                "good_mask",
            )
        ),
        *((n, Role.UNSURE) for n in ("ok_ng", "positive", "unsorted", "almost_good", "normal_map")),
        *((n, None) for n in ("2024-01-05", "cam1", "images", "10000", "", "...", *KINDS)),
        *((n, None) for n in PRODUCTS),
    ],
)
def test_names(name: str, what: Role | None) -> None:
    assert meaning_of(name).what is what


def test_tests_count_more_than_training() -> None:
    assert meaning_of("train_test").split is Role.TEST
    assert meaning_of("test_good") == meaning_of("GoodTest")
    assert all(meaning_of(name).split is None for name in (*PRODUCTS, *KINDS))


def test_places_and_kinds() -> None:
    assert all(map(is_place, ("2024-01-05", "cam1", "Line 3", "S0001", "C1", "KW12", "monday")))
    assert not any(map(is_place, ("A", "scratch", "HS", "good", "type", *KINDS)))
    assert all(map(is_kind, ("scratch", "Kratzer", "dents_2", "rayures")))
    assert not any(map(is_kind, ("A", "cutter", "bottle")))
    assert is_neutral("Images")
    assert all(map(str.strip, WEAK))


def names_for(role: Role) -> st.SearchStrategy[str]:
    words = [phrase for known, phrase in ALL if known is role and role_of(phrase) is role]
    return st.builds(
        lambda word, seed: written(word, random.Random(seed), role),
        st.sampled_from(words),
        st.integers(0, 2**16),
    ).filter(lambda name: role_of(name) is role and meaning_of(name).whole)


PLACES = st.lists(st.sampled_from(("cam1", "2024-01-05", "S0001", "line 2")), max_size=2)


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[str, Role, bool]]:
    """Folders with the role that the grammar gave them, and whether it may be learnt from."""
    found = []
    split = draw(st.booleans())
    train = [draw(names_for(Role.TRAIN))] if split else []
    test = [draw(names_for(Role.TEST))] if split else []
    for role in (Role.GOOD, Role.DEFECTIVE, Role.MASK, Role.UNSURE):
        for above in (train, test) if split else ([],):
            if role is not Role.GOOD and draw(st.booleans()):
                continue
            name = draw(names_for(role))
            path = "/".join([*draw(PLACES), *above, *draw(PLACES), name, *draw(PLACES)])
            path = path if not split else "/".join([*above, *draw(PLACES), name, *draw(PLACES)])
            found.append(
                (
                    path,
                    role,
                    (role is Role.GOOD and above is not test) or (not split and role is Role.GOOD),
                )
            )
    return found


@settings(max_examples=120, deadline=None, derandomize=True)
@given(trees(), st.booleans(), st.integers(1, 3))
def test_nothing_from_another_name_is_learnt_from_and_nothing_is_lost(
    tree: list[tuple[str, Role, bool]], linked: bool, count: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        made: dict[str, bool] = {}
        for number, (path, _, learnt) in enumerate(tree):
            place = root / path
            if linked and number % 2:  # the images themselves lie elsewhere
                place.parent.mkdir(parents=True, exist_ok=True)
                store = Path(folder) / f"store{number}"
                store.mkdir()
                if not place.exists():
                    place.symlink_to(store)
            place.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                (place / f"{number}_{i}.png").touch()
                made[f"{number}_{i}.png"] = learnt
        try:
            data = open_dataset(root)
        except DataError as error:
            assert not any(made.values()) or "clear" in str(error) or "lies beside" in str(error)
            return
        (name,) = data.categories
        found = data.understand(name)
        groups = [*(p.name for p in found.train.paths), *(p.name for p in found.test.paths)]
        groups += [p.name for p in found.masks]
        groups += [p.name for paths in found.left_out.values() for p in paths]
        assert sorted(groups) == sorted(made)
        assert all(made[path.name] for path in found.train.paths)
