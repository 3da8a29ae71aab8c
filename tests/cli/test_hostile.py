"""Options of all commands, and sweep files, with hostile values (``tools/hostile.py``)."""

import hostile
import pytest

from forward_stability import cli


@pytest.mark.slow
def test_every_option_takes_hostile_values_in_its_stride(root, capsys):
    status = hostile.main(list(cli.COMMANDS))
    out = capsys.readouterr().out
    assert status == 0, out
    assert int(out.split()[0]) > 900


@pytest.mark.parametrize(
    ("misbehaviour", "words"),
    [
        ("raise ValueError('x')", "ValueError: x"),
        ("print('accuracy: nan %'); return 0", "no finite number"),
        ("print('a', 'b', sep=chr(10), file=sys.stderr); return 2", "more than one line"),
        ("Path('new').mkdir(); print('forward-stability:', file=sys.stderr); return 2", "left"),
        ("Path('a.json').write_text('[Infinity]'); return 0", "a.json: Infinity is no JSON"),
        ("return 1", "1: ''"),
    ],
)
def test_a_command_that_misbehaves_is_found(tmp_path, monkeypatch, misbehaviour, words):
    names = {}
    lines = f"import sys\nfrom pathlib import Path\ndef main(words):\n    {misbehaviour}"
    exec(lines, names)
    monkeypatch.setattr(cli, "main", names["main"])
    assert words in (hostile.fault(["train"], tmp_path) or "nothing")


def test_a_command_that_is_right_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "main", lambda words: print("nan/run: 1 %") or 0)
    assert hostile.fault(["train"], tmp_path) is None
