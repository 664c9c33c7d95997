"""The figures of a run as a table."""

from tests.stress.chaos.run import ChaosFigures


def table(figures: ChaosFigures) -> str:
    """Return a Markdown table of faults and results."""
    kills = figures.kills
    done = ", ".join(f"{count} × {kind}" for kind, count in sorted(kills.items()))
    rows = {
        "images, tasks": f"{figures.images}, {figures.tasks}",
        "server, seed": f"{figures.server}, {figures.seed}",
        "killed with SIGKILL": f"{sum(kills.values())}: {done}",
        "rolling upgrades, processes stopped with SIGTERM": f"{figures.upgrades}, "
        f"{sum(figures.stops.values())}",
        "models that worked, tasks with results of several": f"{figures.models}, "
        f"{figures.tasks_of_several_models}",
        "stopped past the lease": f"{figures.freezes}",
        "connections cut": f"{figures.connections_cut}",
        "consumers deleted that held entries, entries deleted": f"{figures.consumers_deleted}, "
        f"{figures.entries_deleted}",
        "poison images": f"{figures.poison_images}, which ended {figures.poison_deaths} workers",
        "faults for, recovered after": f"{figures.seconds_of_faults:.0f} s, "
        f"{figures.seconds_to_settle:.0f} s",
        "**tasks lost**": f"**{figures.tasks_lost}**",
        "completion events": f"{figures.completion_events}, one for each task",
        "corrections": f"{figures.corrections}, all made, in {figures.versions} versions",
        "dead letters": f"{figures.dead_letters}, the poison images",
        "webhooks delivered": f"{figures.webhooks_received} of {figures.webhooks_wanted}, "
        f"{figures.webhooks_repeated} of them repeated",
        "left over (keys, files, names)": f"{len(figures.leftovers)}",
    }
    lines = [f"| {what} | {result} |" for what, result in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])
