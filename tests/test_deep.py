"""`mai verify --deep`: what real processes write is sound, at every moment and after every death."""

from pathlib import Path

from mai.daemon import deep
from tests.wired import Wired

SALES, MARKETING, MAI = "acme/sales", "acme/marketing", "acme/mai"


def test_a_running_company_is_sound(tmp_path: Path) -> None:
    """Messages on their way, open tasks, deaths and restarts are no faults: nothing is found after any turn of the work."""
    company = Wired(tmp_path)
    most = 0
    for process in (None, SALES, MARKETING, MAI):
        company.ask(f"r-{process and process.partition('/')[2]}")
        for turn in range(20):
            if process and turn == 6:
                company.kill(process)
            if process and turn == 8:
                company.start(process)
                if process == MAI:  # they find their way back to her
                    for other in (SALES, MARKETING):
                        company.kill(other)
                        company.start(other)
            company.turn()
            report = deep.check(company.place)
            assert report.sound, deep.render(report)
            most = max(most, report.under_way["messages"])
    assert most > 0
    company.settle()
    report = deep.check(company.place, at_rest=True)
    assert report.sound and not any(report.under_way.values()), deep.render(report)
    company.close()
