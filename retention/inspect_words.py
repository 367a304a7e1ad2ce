"""The words of an inspection report, Chinese and English side by side. Nothing is decided here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from retention.inspection import Finding, Keeping, Kind
from retention.sentences import Sentences
from vault.categories import LEAST_DAYS


@dataclass(frozen=True, slots=True)
class Words:
    """One saying in both languages."""

    zh: str
    en: str

    def filled(self, facts: Mapping[str, str]) -> Words:
        return Words(self.zh.format_map(facts), self.en.format_map(facts))


TITLES: Final[Mapping[Kind, Words]] = {
    Kind.DELETED_EARLY: Words("提前删除", "deleted early"),
    Kind.BELOW_DAYS: Words("留存天数不足", "below its days"),
    Kind.OVERDUE: Words("逾期未删除", "overdue deletion"),
    Kind.HALTED: Words("到期删除已暂停", "retention halted"),
    Kind.LEDGER: Words("审计日志异常", "ledger broken"),
    Kind.CLOCK_UNCONFIRMED: Words("系统时钟未确认", "clock unconfirmed"),
    Kind.SWITCHED_OFF: Words("录像被关闭", "recording switched off"),
    Kind.SILENT: Words("摄像机无录像", "camera silent"),
    Kind.NO_VIEWING_CAMERA: Words("查看场所无摄像机", "viewing room without its camera"),
    Kind.VIEWING_GAP: Words("查看场所录像缺失", "viewing room with gaps"),
    Kind.INCOMPLETE: Words("录像不完整", "incomplete"),
    Kind.INTERCONNECT: Words("非国标联网未经批准", "interconnect without approval"),
    Kind.NO_CAMERA: Words("场所无在录摄像机", "site without recording camera"),
    Kind.APPROVALS: Words("审批资料缺失", "approvals missing"),
    Kind.UNIT: Words("责任单位信息缺失", "responsible unit missing"),
    Kind.CLOCK: Words("时钟偏差过大", "clock offset"),
}

_TEXTS: Final[Mapping[Kind, Words]] = {
    Kind.DELETED_EARLY: Words(
        "应留存 {required} 天，期内录像已被删除（现存 {days} 天）",
        "footage of the last {required} days was removed; {days} days are there",
    ),
    Kind.BELOW_DAYS: Words("应留存 {required} 天，现存 {days} 天", "{days} days are there, {required} are demanded"),
    Kind.OVERDUE: Words(
        "{segments} 段录像已到期未删除，最早到期日 {since}", "{segments} segments are past their time, the first since {since}"
    ),
    Kind.SWITCHED_OFF: Words("录像被关闭 {length}", "switched off for {length}"),
    Kind.NO_VIEWING_CAMERA: Words(
        "没有拍摄操作人员的在录摄像机", "none of its cameras records, so nobody sees who looks at footage"
    ),
    Kind.VIEWING_GAP: Words("缺失 {gaps} 段，共 {length}", "gaps: {gaps}, {length} in all"),
    Kind.INCOMPLETE: Words(
        "录像完整率 {share}，低于 {least}；最差 {day}：{worst}", "{share} complete, below {least}; worst {day}: {worst}"
    ),
    Kind.INTERCONNECT: Words(
        "联网方式不是 GB/T 28181，且无批准文号", "connected otherwise than by GB/T 28181, with no approval on record"
    ),
    Kind.NO_CAMERA: Words("没有在录摄像机", "none of its cameras records"),
    Kind.APPROVALS: Words("缺少：{missing}", "not on record: {missing}"),
    Kind.UNIT: Words("缺少：{missing}", "not on record: {missing}"),
    Kind.CLOCK: Words("偏差 {offset}，限值 {limit}", "{offset} against the host's clock, more than {limit}"),
}
_ALARMS: Final = Sentences(
    {
        "{count} segments are due and {count2} were foretold: nothing more is doomed until somebody looked at `retention plan` "
        "and says `retention apply --confirm {id}`": (
            "到期 {count} 段，预告 {count2} 段：查看 retention plan 并运行 retention apply --confirm {id} 之前不再删除"
        ),
        "the clock is not believed: {rest}; nothing is deleted until it agrees, or `streamvault clock confirm`": (
            "系统时钟不可信：{rest}；时钟相符或运行 streamvault clock confirm 之前不删除录像"
        ),
        "it says {at}, which cannot be": "时钟显示 {at}，不可能",
        "it says {at} and the kernel {at2}": "时钟显示 {at}，内核为 {at2}",
        "{count} cameras, more than half of them, have another time": "{count} 台摄像机（过半数）的时间不同",
        "it says {at}, years after this program was made, and nothing says that it is so late": (
            "时钟显示 {at}，晚于本程序发布数年，且无旁证"
        ),
        "it is before the newest footage, of {at}": "早于最新录像 {at}",
        "it is long after the newest footage, of {at}, and nothing says that it is so late": "远晚于最新录像 {at}，且无旁证",
        "it was set on by {count} s": "被拨快 {count} 秒",
        "it was set back by {count} s": "被拨慢 {count} 秒",
        "it is before the latest confirmed time, {at}": "早于最近确认的时间 {at}",
        "since the latest confirmed time, {at}, the host was started and nothing says what time it is": (
            "自最近确认的时间 {at} 以来主机重启过，且无旁证"
        ),
        "entry {count} of the ledger {rest} is not the one that was signed; run `ledger verify`": (
            "审计日志 {rest} 的第 {count} 条与签名时不符；请运行 ledger verify"
        ),
    }
)
_NOTES: Final = Sentences(
    {
        "clock offsets of the last days only, as the store cannot be read: {rest}": "存储不可读，时钟偏差仅为最近几天：{rest}",
        "clock offsets of one day are missing: {rest}": "缺一天的时钟偏差：{rest}",
    }
)
_SILENT: Final = "nothing is recorded of "

FIELDS: Final[Mapping[str, Words]] = {
    "design": Words("设计审批", "design approval"),
    "test": Words("检验", "test"),
    "acceptance": Words("验收", "acceptance"),
    "unit": Words("责任单位", "responsible unit"),
    "person": Words("责任人", "person"),
    "phone": Words("电话", "phone"),
}

KEEPINGS: Final[Mapping[Keeping, Words]] = {
    Keeping.KEPT: Words("符合", "kept"),
    Keeping.COLLECTING: Words("积累中", "collecting"),
    Keeping.BELOW: Words("不足", "below"),
    Keeping.DELETED_EARLY: Words("提前删除", "deleted early"),
    Keeping.NOTHING_DUE: Words("无须留存", "nothing due"),
}

CLASSES: Final[Mapping[str, Words]] = {
    "key": Words("重点", "key"),
    "general": Words("一般", "general"),
    "viewing": Words("查看", "viewing"),
}
assert CLASSES.keys() == LEAST_DAYS.keys()

REASONS: Final[Mapping[str, str]] = {
    "connecting": "正在连接",
    "unreachable": "无法连接",
    "stored credentials do not open": "凭据无法解密",
    "refused by camera": "摄像机拒绝",
    "closed by camera": "摄像机断开",
    "no data from camera": "摄像机无数据",
    "packets lost": "丢包",
    "waiting for key frame": "等待关键帧",
    "host clock stepped": "主机时钟跳变",
    "camera clock drifts": "摄像机时钟漂移",
    "disk full or failing": "磁盘已满或故障",
    "spool full": "缓存已满",
    "store full": "存储已满",
    "crash": "程序崩溃",
    "recorder stopped": "录像程序停止",
    "recording switched off": "录像被关闭",
    "taken over": "被接管",
    "footage lost from the store": "存储中录像丢失",
    "lost with the index": "随索引丢失",
    "unknown": "原因不明",
}
"""Gap rows say theirs in English, sometimes with figures behind it."""

LABELS: Final[Mapping[str, Words]] = {
    "title": Words("录像检查报告", "Inspection report"),
    "range": Words("检查时段", "Range"),
    "made": Words("生成时间", "Made"),
    "zone": Words("时区", "Time zone"),
    "scope": Words("范围", "Scope"),
    "all": Words("全部", "all"),
    "cameras": Words("摄像机", "Cameras"),
    "cameras_removed": Words("其中已移除", "of them removed"),
    "completeness": Words("录像完整率", "Completeness"),
    "findings": Words("检查发现", "Findings"),
    "no_findings": Words("未发现问题。", "Nothing was found."),
    "article": Words("依据", "Article"),
    "finding": Words("问题", "Finding"),
    "where": Words("场所/摄像机", "Site / camera"),
    "what": Words("情况", "What"),
    "camera": Words("摄像机", "Camera"),
    "site": Words("场所", "Site"),
    "class": Words("类别", "Class"),
    "worst": Words("最差日", "Worst day"),
    "by_day": Words("逐日", "By day"),
    "missing": Words("缺失", "Missing"),
    "gaps": Words("录像缺失", "Gaps"),
    "retained": Words("留存/应留天数", "Days kept / demanded"),
    "state": Words("留存情况", "Retention"),
    "clock": Words("时钟偏差", "Clock offset"),
    "collecting": Words("积累中", "collecting"),
    "collecting_since": Words("积累中，自", "collecting since"),
    "not_due": Words("未录", "not due"),
    "removed": Words("已移除", "removed"),
    "from": Words("起", "From"),
    "to": Words("止", "To"),
    "duration": Words("时长", "Duration"),
    "reason": Words("原因", "Reason"),
    "lasting": Words("持续中", "lasts"),
    "more_gaps": Words("另有较短缺失段数", "shorter gaps, not listed"),
    "all_gaps": Words("合计", "in all"),
    "holds": Words("封存", "Holds"),
    "no_holds": Words("无。", "None."),
    "number": Words("编号", "Number"),
    "case": Words("案号", "Case"),
    "why": Words("事由", "Why"),
    "placed_by": Words("经办人", "Placed by"),
    "until": Words("至", "Until"),
    "until_released": Words("至解除", "it is released"),
    "definition": Words(
        "录像完整率 = 已录秒数 ÷ 应录秒数，按摄像机和当地自然日计算；录像缺失逐段列出原因；已到期删除的时段计为已录；"
        "不足一个完整自然日的显示“积累中”，不显示 100 %。此公式为本系统自定，未见官方公式。",
        "Completeness = seconds recorded ÷ seconds that should have been, per camera and local day, with the list of gaps and "
        "their reasons. Time whose footage has expired counts as recorded. With less than one whole day it reads “collecting”, "
        "never 100 %. The formula is ours: no official one is known.",
    ),
    "limits": Words("判定限值（自定）", "Limits (ours)"),
    "notes": Words("说明", "Notes"),
    "sign": Words("检查人（签字）", "Inspected by"),
    "date": Words("日期", "Date"),
}

_ARTICLES: Final = (("Huiyang Art. ", "惠阳规范第"), ("Decree 799 Art. ", "国务院令第799号第"))
_NUMBERS = re.compile(r"\d+(?:, \d+)*")


def title(finding: Finding) -> Words:
    return TITLES[finding.kind]


def text(finding: Finding) -> Words:
    """What is found, with its figures."""
    facts = dict(finding.facts)
    if "message" in facts:
        return _alarm(facts["message"])
    if "missing" in facts:
        names = [FIELDS[name] for name in facts["missing"].split(",")]
        zh, en = "、".join(name.zh for name in names), ", ".join(name.en for name in names)
        return Words(_TEXTS[finding.kind].zh.format(missing=zh), _TEXTS[finding.kind].en.format(missing=en))
    return _TEXTS[finding.kind].filled(facts)


def _alarm(message: str) -> Words:
    """An alarm's words are English; one of no known form stays so behind its Chinese title."""
    camera, colon, why = message.removeprefix(_SILENT).partition(": ")
    if message.startswith(_SILENT) and colon:
        return Words(f"{camera} 无录像：{reason(why).zh}", message)
    return Words(f"报警：{_ALARMS.chinese(message) or message}", message)


def note(english: str) -> Words:
    """What the inspection could not look at; one of no known form stands as it is."""
    return Words(_NOTES.chinese(english) or english, english)


def article(english: str) -> Words:
    """`Huiyang Art. 14 (2)` in both languages."""
    for prefix, chinese in _ARTICLES:
        if english.startswith(prefix):
            rest = english.removeprefix(prefix)
            return Words(chinese + _NUMBERS.sub(lambda found: found[0].replace(", ", "、") + "条", rest, count=1), english)
    return Words(english, english)


def reason(english: str) -> Words:
    """Why nothing was recorded; what has no Chinese here stays as it is."""
    for known, chinese in REASONS.items():
        if english == known or english.startswith((f"{known}:", f"{known} ", f"{known},")):
            return Words(chinese + english[len(known) :], english)
    return Words(english, english)
