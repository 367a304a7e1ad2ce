"""The words of the register, Chinese and English side by side. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from access.occasion import Outcome, Purpose
from access.register import OPEN
from retention.inspect_words import Words

PURPOSES: Final[Mapping[str, Words]] = {
    Purpose.INVESTIGATION: Words("侦查办案", "investigation"),
    Purpose.ORDER: Words("治安管理", "public order"),
    Purpose.TRAFFIC: Words("交通管理", "traffic"),
    Purpose.EMERGENCY: Words("应急处置", "emergency"),
    Purpose.DISPUTE: Words("纠纷处理", "dispute"),
    Purpose.INSPECTION: Words("监督检查", "inspection"),
    Purpose.PUBLICITY: Words("宣传报道", "publicity"),
    Purpose.MAINTENANCE: Words("维护检修", "maintenance"),
    Purpose.OTHER: Words("其他", "other"),
}
OUTCOMES: Final[Mapping[str, Words]] = {
    OPEN: Words("未结束", "open"),
    Outcome.WAITING: Words("待审批", "waits for approval"),
    Outcome.DONE: Words("完成", "done"),
    Outcome.ABORTED: Words("中止", "broken off"),
    Outcome.REFUSED: Words("拒绝", "refused"),
}
ACTIONS: Final[Mapping[str, Words]] = {
    "play": Words("回放", "play"),
    "clip": Words("剪辑查看", "clip"),
    "snapshot": Words("截图", "snapshot"),
    "export": Words("导出", "export"),
}
LABELS: Final[Mapping[str, Words]] = {
    "title": Words("视频录像调取登记册", "Register of footage looked at and taken"),
    "unit": Words("使用单位", "Using unit"),
    "all_units": Words("全部单位", "all units"),
    "range": Words("登记时段", "Asked from – to"),
    "chosen": Words("筛选条件", "Chosen by"),
    "made": Words("打印时间", "Printed"),
    "made_by": Words("打印人", "Printed by"),
    "rows": Words("条数", "Rows"),
    "open_rows": Words("其中未结束", "of them open"),
    "number": Words("序号", "No."),
    "asked": Words("申请时间", "Asked"),
    "taker": Words("调取人员 / 编号", "Taken by / staff no."),
    "by": Words("操作账号", "Signed in"),
    "cameras": Words("摄像机", "Cameras"),
    "footage": Words("录像时段", "Footage from – to"),
    "action": Words("方式", "How"),
    "purpose": Words("用途 / 事由", "Purpose / why"),
    "case": Words("案件编号", "Case"),
    "destination": Words("去向", "Destination"),
    "approval": Words("审批", "Approval"),
    "outcome": Words("结果", "Outcome"),
    "what": Words("数据量 / 校验值", "Bytes / hash"),
    "signature": Words("签字", "Signature"),
    "none": Words("本时段无调取记录。", "Nothing was looked at or taken in this time."),
    "basis": Words("依据", "Made of"),
    "entries": Words("审计日志条目数", "entries of the ledger"),
    "keeper": Words("登记人（签字）", "Kept by (signature)"),
    "leader": Words("单位负责人（签字）", "Responsible leader (signature)"),
    "seal": Words("单位盖章", "Seal of the unit"),
    "date": Words("日期", "Date"),
}


def purpose(name: str) -> Words:
    """A word that a newer program wrote stands as it is."""
    return PURPOSES.get(name, Words(name, name))


def outcome(name: str) -> Words:
    return OUTCOMES.get(name, Words(name, name))


def action(name: str) -> Words:
    return ACTIONS.get(name, Words(name, name))
