"""What a report says, as text and as JSON."""

import json

from builders import SIZE, trained_like

from forward_stability.certificates import certify


def test_the_report_is_plain_json_and_readable():
    report = certify(trained_like("S"), SIZE)
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False, ensure_ascii=False))
    assert data["layers"][1]["norms"]["A"] == report.layers[1].norms["A"]
    assert data["constants"][-1]["a"] == report["best"].a
    text = str(report)
    assert "The hypotheses of Theorem 6 do not all hold." in text
    assert text.count("\n") > len(report.layers)
    assert "not proven" in text
