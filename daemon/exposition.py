"""Figures with labels, and how Prometheus and scripts read them. Pure.

The text format is Prometheus's, version 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats). Names that OpenTelemetry has
for generative models (opentelemetry.io/docs/specs/semconv/gen-ai) are taken as Prometheus writes them: dots become underlines.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[tuple[str, str], ...]

SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)  # OpenTelemetry's
TOKENS: Final = tuple(float(4**n) for n in range(14))  # likewise: 1 to 67108864


class Figure(NamedTuple):
    """One that there is: its name, what it is, and of a histogram the bounds of its buckets."""

    name: str
    kind: Kind
    help: str
    bounds: tuple[float, ...] = ()


class Histogram:
    """How many values were how large."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        """One value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def rows(self) -> Iterator[tuple[str, float]]:
        """Upper bounds, and how many values do not exceed them."""
        total = 0
        for bound, count in zip((*map(_number, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            yield bound, total


class Figures:
    """Values of figures, by name and labels."""

    def __init__(self, known: tuple[Figure, ...]) -> None:
        self._known = {figure.name: figure for figure in known}
        self._values: dict[str, dict[Labels, float | Histogram]] = {figure.name: {} for figure in known}

    def add(self, name: str, value: float = 1.0, /, **labels: str) -> None:
        """Count, or put a value into a histogram."""
        values, key = self._values[name], tuple(sorted(labels.items()))
        if bounds := self._known[name].bounds:
            found = values.setdefault(key, Histogram(bounds))
            assert isinstance(found, Histogram)
            found.add(value)
        else:
            before = values.get(key, 0.0)
            assert not isinstance(before, Histogram)
            values[key] = before + value

    def set(self, name: str, value: float, /, **labels: str) -> None:
        """How it is now."""
        self._values[name][tuple(sorted(labels.items()))] = value

    def clear(self, name: str) -> None:
        """Forget all values of a gauge, before they are set anew."""
        self._values[name].clear()

    def text(self) -> str:
        """As Prometheus reads it."""
        lines: list[str] = []
        for name, values in self._values.items():
            if values:
                figure = self._known[name]
                lines += [f"# HELP {name} {_escaped(figure.help, quotes=False)}", f"# TYPE {name} {figure.kind}"]
                for labels, value in sorted(values.items(), key=lambda item: item[0]):
                    lines += _lines(name, dict(labels), value)
        return "\n".join(lines) + "\n"

    def plain(self) -> list[dict[str, Any]]:
        """As scripts read it."""
        found: list[dict[str, Any]] = []
        for name, values in self._values.items():
            for labels, value in sorted(values.items(), key=lambda item: item[0]):
                said = {"count": sum(value.counts), "sum": value.sum} if isinstance(value, Histogram) else {"value": value}
                found.append({"name": name, "kind": self._known[name].kind, "labels": dict(labels), **said})
        return found


def _lines(name: str, labels: Mapping[str, str], value: float | Histogram) -> list[str]:
    if not isinstance(value, Histogram):
        return [f"{name}{_braced(labels)} {_number(value)}"]
    found = [f"{name}_bucket{_braced({**labels, 'le': bound})} {_number(count)}" for bound, count in value.rows()]
    return [*found, f"{name}_sum{_braced(labels)} {_number(value.sum)}", f"{name}_count{_braced(labels)} {sum(value.counts)}"]


def _braced(labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _escaped(text: str, *, quotes: bool = True) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if quotes else escaped


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 9))
