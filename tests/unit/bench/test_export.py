from bench import export


def test_the_export_is_compared_round_by_round() -> None:
    raw = {
        "images_per_second": {
            "scorer": [50.0, 60.0, 70.0], "exported": [75.0, 66.0, 77.0],
            "backbone": [100.0, 110.0, 110.0],
        },
    }  # fmt: skip
    assert [claim.value for claim in export.claims(raw)] == [1.1, 0.7]
    assert all(claim.holds for claim in export.claims(raw))
