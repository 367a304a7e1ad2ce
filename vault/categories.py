"""The categories of sites by the district's rule on shared video, and the class of retention that each one demands.

The rule: 惠州市惠阳区视频联网共享建设管理规范 (draft for comment). Art. 5 has the days, Art. 6 the public areas, Art. 8 the key units,
Art. 14 (2) the rooms where footage is viewed. A site may be kept for longer than its category demands, never for less.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final

from vault.errors import UsageError

LEAST_DAYS: Final = {"general": 30, "viewing": 92, "key": 90}
"""By class: what the rule demands at least. Three months have 92 days when they are longest."""


@dataclass(frozen=True, slots=True)
class Category:
    """What a site is. `article` is where the rule speaks of it; `site_class` is one of LEAST_DAYS."""

    id: str
    article: str
    site_class: str
    english: str
    chinese: str

    @property
    def least_days(self) -> int:
        return LEAST_DAYS[self.site_class]


_ALL: Final = (
    Category(
        "public-area", "Art. 6", "key", "public area: entrances of towns and villages, main roads and junctions", "公共区域"
    ),
    Category("hazardous", "Art. 8 (1)", "key", "weapons, explosives and other dangerous materials", "危险物品单位"),
    Category(
        "government", "Art. 8 (2)", "key", "offices, key research, museums, archives and exhibitions", "机关、科研、文博单位"
    ),
    Category("secrets", "Art. 8 (3)", "key", "making and storing secret and exam papers", "涉密资料、试卷制作存放单位"),
    Category("finance", "Art. 8 (4)", "key", "vaults, banks, pawnshops, auctions and jewellery", "金库、金融、珠宝单位"),
    Category(
        "utilities",
        "Art. 8 (5)",
        "key",
        "broadcasting, telecom, post, water, gas, power and fuel",
        "广电、通信、水电气、能源单位",
    ),
    Category("transport", "Art. 8 (6)", "key", "airports, stations, car parks, roads, bridges and tunnels", "交通枢纽和设施"),
    Category(
        "crowded",
        "Art. 8 (7)",
        "key",
        "schools, hospitals, entertainment, markets, squares and parks",
        "学校、医院、商场等公众场所",
    ),
    Category(
        "goods",
        "Art. 8 (8)",
        "key",
        "important warehouses, car repair, scrap trade and logistics",
        "重要仓储、维修、旧货、物流单位",
    ),
    Category(
        "services",
        "Art. 8 (9)",
        "key",
        "public service, supervision, welfare, hotels and housing",
        "公共服务、监管、旅馆、住宅公共部位",
    ),
    Category("by-law", "Art. 8 (10)", "key", "others that a law names", "法律法规规定的其他单位"),
    Category("viewing-room", "Art. 14 (2)", "viewing", "room where footage is viewed", "视频图像查看场所"),
    Category("other", "Art. 5", "general", "other site", "其他场所"),
)
CATEGORIES: Final = {category.id: category for category in _ALL}


def category(id_: str) -> Category:
    """Raises UsageError that names the nearest one."""
    found = CATEGORIES.get(id_)
    if found is None:
        near = difflib.get_close_matches(id_[:80].lower(), CATEGORIES, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(CATEGORIES)}"
        raise UsageError(f"category {id_[:40]!r} is not known; {hint}")
    return found
