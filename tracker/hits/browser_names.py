"""How browsers name themselves, and the systems they run on: parts of their texts, and the names people read.

Read by tracker/hits/agents.py after the tables of machines: a machine may pretend to be any of these.
The first part that is found wins. All in lower case.
"""

from __future__ import annotations

from tracker.hits.mail_names import Names

# What renders pages: any of these is in what people's browsers say.
ENGINES = (
    "applewebkit", "gecko/", "like gecko", "khtml", "trident/", "msie ", "presto/", "opera", "chrome/",
    "safari/", "firefox", "konqueror", "netfront", "up.browser", "midp", "cldc", "ucweb", "ucbrowser",
    "obigo", "maui", "symbian", "blackberry", "windows ce", "hbbtv", "smarttv", "smart-tv", "netsurf",
    "dillo", "omniweb", "icab", "mosaic", "amaya", "netpositive", "midori", "playstation", "nintendo",
    "kindle", "up.link", "webtv", "seamonkey", "browser/", "webkit", "internet explorer", "nsplayer",
    "media player", "googleearth", "palmos", "mmp/", "teleca", "polaris", "avantgo", "ibrowse", "docomo",
    "goanna/", "jig browser", "biyubi", "windows phone",
)  # fmt: skip

# Browsers that begin with their own name or the phone's.
PHONES = (
    "nokia", "sonyericsson", "samsung", "lg-", "lg/", "lge-", "sie-", "mot-", "kddi-", "j-phone",
    "softbank", "vodafone", "sagem", "sharp", "panasonic", "philips", "alcatel", "zte-", "huawei",
    "motorola", "htc", "benq", "lenovo-", "portalmmm", "palm", "lynx", "links (", "elinks", "w3m/",
    "netscape", "ncsa", "emacs-w3", "contiki", "voyager", "cyberdog", "hotjava", "offbyone", "retawq",
    "uzbl", "dillo", "jasmine", "o2", "nec-", "qc-", "fly", "k-touch", "gionee", "spice", "micromax",
    "karbonn", "lava", "oppo",
)  # fmt: skip

BROWSERS: Names = (
    ("edgios/", "Edge"),
    ("edga/", "Edge"),
    ("edg/", "Edge"),
    ("edge/", "Edge"),
    ("opr/", "Opera"),
    ("opera", "Opera"),
    ("opios/", "Opera"),
    ("opt/", "Opera"),
    ("samsungbrowser/", "Samsung Internet"),
    ("ucbrowser/", "UC Browser"),
    ("ucweb/", "UC Browser"),
    ("yabrowser/", "Yandex Browser"),
    ("vivaldi/", "Vivaldi"),
    ("brave/", "Brave"),
    ("duckduckgo/", "DuckDuckGo"),
    ("ddg/", "DuckDuckGo"),
    ("miuibrowser/", "Mi Browser"),
    ("huaweibrowser/", "Huawei Browser"),
    ("fxios/", "Firefox"),
    ("focus/", "Firefox Focus"),
    ("firefox/", "Firefox"),
    ("crios/", "Chrome"),
    ("gsa/", "the Google app"),
    ("fban/", "Facebook"),
    ("fbav/", "Facebook"),
    ("instagram", "Instagram"),
    ("line/", "LINE"),
    ("micromessenger", "WeChat"),
    ("linkedinapp", "LinkedIn"),
    ("chromium/", "Chromium"),
    ("chrome/", "Chrome"),
    ("trident/", "Internet Explorer"),
    ("msie ", "Internet Explorer"),
    ("safari/", "Safari"),
)

SYSTEMS: Names = (
    ("iphone", "iPhone"),
    ("ipad", "iPad"),
    ("android", "Android"),
    ("cros ", "ChromeOS"),
    ("windows phone", "Windows Phone"),
    ("windows", "Windows"),
    ("macintosh", "Mac"),
    ("mac os x", "Mac"),
    ("linux", "Linux"),
)
