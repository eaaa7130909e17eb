"""What other libraries take user agents for: run by benchmarks/agents.py with the throw-away Python.

Reads a JSON list of strings from stdin, prints {library: [is it a machine?, …]}. Imports nothing of mailbell,
and what it imports is no dependency of mailbell: benchmarks/agent_lists.py installs it.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def crawlerdetect() -> Callable[[str], bool]:
    from crawlerdetect import CrawlerDetect  # type: ignore[import-not-found]

    detect = CrawlerDetect()
    return lambda agent: bool(detect.isCrawler(agent))


def device_detector() -> Callable[[str], bool]:
    from device_detector import DeviceDetector  # type: ignore[import-not-found]

    return lambda agent: bool(DeviceDetector(agent, skip_device_detection=True).parse().is_bot())


def ua_parser() -> Callable[[str], bool]:
    from ua_parser import parse_device  # type: ignore[import-not-found]

    def spider(agent: str) -> bool:
        device = parse_device(agent)
        return device is not None and device.family == "Spider"

    return spider


def is_crawler() -> Callable[[str], bool]:
    from is_crawler import is_crawler as ask  # type: ignore[import-not-found]

    return lambda agent: bool(ask(agent))


def isbot(agents: list[str], package: Path) -> list[bool]:
    """npm's isbot, asked through node."""
    script = (
        f"const {{ isbot }} = require({json.dumps(str(package))});"
        'const agents = JSON.parse(require("fs").readFileSync(0));'
        "console.log(JSON.stringify(agents.map((agent) => isbot(agent))));"
    )
    done = subprocess.run(
        ["node", "-e", script], input=json.dumps(agents), capture_output=True, text=True, check=True
    )
    return list(json.loads(done.stdout))


def main() -> None:
    agents: list[str] = json.load(sys.stdin)
    answers: dict[str, list[bool]] = {}
    for make in (crawlerdetect, device_detector, ua_parser, is_crawler):
        ask = make()
        answers[make.__name__] = [ask(agent) for agent in agents]
    package = Path(sys.argv[1])
    if shutil.which("node") and package.exists():
        answers["isbot"] = isbot(agents, package)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
