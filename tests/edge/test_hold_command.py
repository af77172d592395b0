from __future__ import annotations

import io
import json

import pytest

from edge import cli
from edge.config import load_config
from retention.records.keeping import Hold, HoldPlaced
from retention.store import holds, inspectors, sessions
from tests.edge.test_cli import TOML

SECRET = "correct horse"
WHY = ("--author", "insp-7", "--reason", "case 12")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(TOML.format(data=tmp_path / "data"))
    return path


@pytest.fixture
def store(file):
    file.parent.joinpath("data").mkdir()
    opened = load_config(file).open_store()
    yield opened
    opened.close()


@pytest.fixture
def run(file, capsys, monkeypatch):
    def go(*arguments: str, secret: str = SECRET) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(secret + "\n"))
        code = cli.main([*arguments, "--config", str(file)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return go


@pytest.fixture
def inspector(run):
    assert run("inspector", "add", "--id", "insp-7")[0] == 0


def place(run, *scope: str, secret: str = SECRET):
    return run("hold", "place", *WHY, "--json", "--scope", *scope, secret=secret)


def test_inspector_is_added_listed_and_revoked(run, store):
    assert run("inspector", "add", "--id", "insp-7")[0] == 0
    inspectors.check(store, "insp-7", SECRET)
    code, out, _ = run("inspector", "list", "--json")
    assert (code, [one["inspector"] for one in json.loads(out)["inspectors"]]) == (0, ["insp-7"])
    assert run("inspector", "revoke", "--id", "insp-7")[0] == 0
    with pytest.raises(inspectors.InspectorRefused):
        inspectors.check(store, "insp-7", SECRET)
    assert run("inspector", "revoke", "--id", "insp-7")[0] == 2
    assert "撤销" in run("inspector", "list")[1]


@pytest.mark.parametrize("secret", ["short", ""])
def test_inspector_with_a_bad_secret_is_not_stored(run, store, secret):
    code, _, err = run("inspector", "add", "--id", "insp-7", secret=secret)
    assert (code, err.count("\n")) == (2, 1)
    with store.read() as connection:
        assert inspectors.listed(connection) == []


def test_hold_is_placed_listed_and_released(run, store, inspector):
    code, out, _ = place(run, "pharmacy")
    placed = json.loads(out)
    assert (code, placed["author"], placed["authority"]) == (0, "insp-7", "inspector")
    hold = placed["hold"]["hold"]
    with store.read() as connection:
        assert [one.hold for one in holds.standing(connection)] == [hold]
    assert hold in run("hold", "list")[1]
    assert run("hold", "release", "--hold", hold, *WHY)[0] == 0
    with store.read() as connection:
        assert holds.standing(connection) == []
    listed = json.loads(run("hold", "list", "--json")[1])["holds"]
    assert [(one["hold"], one["released_at"] is None) for one in listed] == [(hold, False)]


def test_span_is_read_as_local_time(run, inspector):
    _, out, _ = place(
        run, "span", "--from", "2026-02-16T21:00", "--to", "2026-02-17T01:00", "--camera", "cam"
    )
    hold = json.loads(out)["hold"]
    assert hold["started_at"] == "2026-02-16T13:00:00.000000Z"
    assert hold["ended_at"] == "2026-02-16T17:00:00.000000Z"
    assert hold["cameras"] == ["cam"]


@pytest.mark.parametrize(
    "scope",
    [
        ("span", "--from", "2026-02-16T21:00"),
        ("span", "--from", "2026-02-16T21:00", "--to", "2026-02-16T20:00"),
        ("span", "--from", "yesterday", "--to", "2026-02-16T20:00"),
        ("span", "--from", "0005-01-01", "--to", "2026-02-16T20:00"),
        ("span", "--from", "2026-02-16T21:00", "--to", "2026-02-16T22:00", "--camera", "typo"),
        ("session",),
        ("session", "--session", "not an id"),
        ("person", "--person", "Zhang San"),
        ("person", "--session", "01900000-0000-7000-8000-000000000001"),
        ("pharmacy", "--session", "01900000-0000-7000-8000-000000000001"),
    ],
)
def test_hold_that_does_not_say_what_it_covers_is_one_line_and_two(run, store, inspector, scope):
    code, out, err = place(run, *scope)
    assert (code, out, err.count("\n")) == (2, "", 1)
    with store.read() as connection:
        assert holds.listed(connection) == []


@pytest.mark.parametrize("said", [("--reason", "  "), ("--author", " "), ("--reason", "x" * 201)])
def test_hold_needs_words_for_who_and_why(run, store, inspector, said):
    code, _, err = run("hold", "place", *WHY, "--scope", "pharmacy", *said)
    assert code == 2
    assert said[0] in err
    with store.read() as connection:
        assert holds.standing(connection) == []


def test_hold_on_a_session_that_is_not_here_says_how_little_it_holds(run, store, inspector):
    known, other = store.ids.new(), store.ids.new()
    with store.write() as connection:
        sessions.insert_session(connection, known, "c1", store.clock.now())
    assert place(run, "session", "--session", known)[::2] == (0, "")
    code, out, err = place(run, "session", "--session", other)
    assert (code, "no session here" in err) == (0, True)
    assert json.loads(out)["hold"]["session"] == other


def test_wrong_secret_places_and_releases_nothing_and_locks_after_five(run, store, inspector):
    hold = json.loads(place(run, "pharmacy")[1])["hold"]["hold"]
    for _ in range(5):
        code, _, err = run("hold", "release", "--hold", hold, *WHY, secret="wrong secret")
        assert code == 2
        assert "wrong inspector or secret" in err
    assert place(run, "pharmacy")[0] == 2  # locked now, though the secret is right
    with store.read() as connection:
        assert len(holds.standing(connection)) == 1


def test_hold_of_central_is_not_released_here(run, store, inspector):
    hold = Hold(
        hold=store.ids.new(), scope="pharmacy", session=None, person_ref=None, started_at=None,
        ended_at=None, cameras=(),
    )  # fmt: skip
    placed = HoldPlaced(hold=hold, authority="central", author="admin", reason="r")
    with store.write() as connection:
        holds.place(store, connection, placed)
    code, _, err = run("hold", "release", "--hold", hold.hold, *WHY)
    assert (code, "只能由中心解除" in err) == (2, True)
    with store.read() as connection:
        assert [one.hold for one in holds.standing(connection)] == [hold.hold]
    assert run("hold", "release", "--hold", store.ids.new(), *WHY)[0] == 2
