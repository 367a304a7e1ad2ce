"""The words of a package's report, Chinese and English side by side. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from retention.inspect_words import Words
from retention.sentences import Sentences

MISSING: Final[Mapping[str, Words]] = {
    "expired": Words("已到期删除", "expired, deleted by rule"),
    "before the first recording": Words("首次录像之前", "before the first recording"),
    "not closed yet": Words("录制尚未结束", "not closed yet"),
    "outside what is allowed": Words("不在授权范围内", "outside what is allowed"),
}
"""Why time is missing, beyond the reasons of gaps."""

_NOTES: Final = Sentences(
    {
        "begins at {at}, the first key frame of what is there": "自 {at} 现有录像的首个关键帧起",
        "begins at {at}: the pictures that an earlier start needs lie outside what is allowed": (
            "自 {at} 起：更早的起点所需画面不在授权范围内"
        ),
        "ends at {at}: the pictures that a later end needs lie outside what is allowed": (
            "至 {at} 止：更晚的终点所需画面不在授权范围内"
        ),
        "there is no key frame to start from: the first pictures may be damaged": "起点无关键帧，开头画面可能受损",
        "the segment of {at} has no key frame to go on from and is left out": "{at} 的录像段无关键帧可续，已略去",
        "a gap of more than {count} hours lasts that long in the clip": "超过 {count} 小时的缺失在片段中只占该时长",
        "the audio changes within the clip: {count} audio tracks ({rest}), of which players play the first": (
            "片段内音频格式有变化：共 {count} 条音轨（{rest}），播放器只播放第一条"
        ),
    }
)

LABELS: Final[Mapping[str, Words]] = {
    "title": Words("视频调取报告", "Report of exported footage"),
    "export": Words("导出编号", "Export"),
    "range": Words("调取时段", "Range asked for"),
    "zone": Words("时区", "Time zone"),
    "asked": Words("申请时间", "Asked"),
    "made": Words("完成时间", "Completed"),
    "person": Words("调取人员", "Taken by"),
    "staff_number": Words("工作证号", "Staff number"),
    "unit": Words("使用单位", "Unit"),
    "actor": Words("操作账号", "Signed in"),
    "address": Words("终端地址", "Terminal"),
    "purpose": Words("用途", "Purpose"),
    "why": Words("事由", "Why"),
    "case": Words("案号", "Case"),
    "destination": Words("去向", "Destination"),
    "approval_ref": Words("批准文号", "Approval reference"),
    "authority": Words("授权依据", "Authority"),
    "approver": Words("审批人", "Approved by"),
    "software": Words("软件版本", "Software"),
    "host": Words("本机", "the host"),
    "camera": Words("摄像机", "Camera"),
    "site": Words("场所", "Site"),
    "gb_code": Words("国标编码", "GB/T 28181 code"),
    "clock": Words("摄像机时钟偏差", "Camera's clock offset"),
    "unknown": Words("未知", "unknown"),
    "taken": Words("实际时段", "Range taken"),
    "held": Words("含切点前帧", "With the frames before the cut"),
    "nothing": Words("该时段无录像。", "There was no footage."),
    "files": Words("录像文件", "Media files"),
    "file": Words("文件", "File"),
    "from": Words("起", "From"),
    "to": Words("止", "To"),
    "span": Words("起止", "From, to"),
    "bytes": Words("字节", "Bytes"),
    "whole": Words("原始段", "stored segment, whole"),
    "missing": Words("缺失时段", "Missing"),
    "none_missing": Words("无缺失。", "Nothing is missing."),
    "duration": Words("时长", "Duration"),
    "reason": Words("原因", "Reason"),
    "sources": Words("来源段", "Source segments"),
    "stored": Words("存储对象", "Stored object"),
    "damaged": Words("损坏", "damaged"),
    "more": Words("其余见 data/custody.json", "the others are in data/custody.json"),
    "notes": Words("说明", "Notes"),
    "verify": Words("核验方法", "How to verify"),
    "how": Words(
        "在装有 Python 3.8 和 openssl 3.0 的电脑上运行：python3 verify.py 包 --key 出具单位公布的公钥指纹。"
        "核验程序和指纹应向出具单位索取，不要只用包内的程序。",
        "On a machine with Python 3.8 and openssl 3.0: python3 verify.py PACKAGE --key FINGERPRINT. Get the program and the "
        "fingerprint from the office that made the package, not from the package alone.",
    ),
    "duty": Words(
        "录像仅限上述用途，不得转交第三方，不得翻拍。",
        "For this purpose only; not to be passed on to anyone; not to be filmed.",
    ),
    "handed": Words("经办人（签字）", "Handed out by"),
    "received": Words("调取人员（签字）", "Received by"),
    "approved": Words("审批人（签字）", "Approved by"),
    "seal": Words("单位盖章", "Seal of the unit"),
    "date": Words("日期", "Date"),
}


def note(english: str) -> Words:
    """What a clip's cut says of itself; one of no known form stands as it is."""
    return Words(_NOTES.chinese(english) or english, english)
