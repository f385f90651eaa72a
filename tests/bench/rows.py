"""What was measured: one sample for each section, system, work and round, with any number of figures."""
import json
import statistics


class Rows:
    def __init__(self, samples=(), cannot=()):
        self.samples = list(samples)
        self.cannot = list(cannot)  # what has no figures, and why

    def add(self, section, system, work, round_, against=None, **figures):
        self.samples.append({"section": section, "system": system, "work": work, "round": round_, "against": against,
                             **figures})

    def add_cannot(self, section, system, work, reason):
        self.cannot.append({"section": section, "system": system, "work": work, "reason": str(reason)})

    def series(self, section, metric, system, work):
        """{round: value}; empty if it wasn't measured."""
        return {s["round"]: s[metric] for s in self.samples
                if (s["section"], s["system"], s["work"]) == (section, system, work) and metric in s}

    def median(self, section, metric, system, work):
        values = self.series(section, metric, system, work)
        return statistics.median(values.values()) if values else None

    def lines(self, section):
        """Its (work, system, against), in the order in which they were first measured, works together."""
        pairs = {}
        for s in self.samples:
            if s["section"] == section:
                pairs.setdefault((s["work"], s["system"]), s["against"])
        works = list(dict.fromkeys(work for work, _ in pairs))
        return [(work, system, pairs[work, system]) for work in works for w, system in pairs if w == work]

    def metrics(self, section, system, work):
        return list(dict.fromkeys(k for s in self.samples
                                  if (s["section"], s["system"], s["work"]) == (section, system, work)
                                  for k in s if k not in ("section", "system", "work", "round", "against")))

    def of(self, section):
        return Rows([s for s in self.samples if s["section"] == section],
                    [c for c in self.cannot if c["section"] == section])

    def extend(self, other):
        self.samples += other.samples
        self.cannot += other.cannot

    def dump(self, path, **about):
        with open(path, "w", encoding="utf-8") as f:
            json.dump({**about, "samples": self.samples, "cannot": self.cannot}, f, indent=1)

    @staticmethod
    def load(path):
        """The rows, and what else the file says."""
        with open(path, encoding="utf-8") as f:
            all_ = json.load(f)
        return Rows(all_.pop("samples"), all_.pop("cannot")), all_
