"""The words of the register, Chinese and English side by side. Nothing is decided here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from access.occasion import Outcome, Purpose
from access.refusal_words import refusal_text
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
REFUSALS: Final[Mapping[str, Words]] = {
    "credentials": Words("账号、口令或令牌错误", "wrong name, password or token"),
    "locked": Words("账号或地址已锁定", "locked"),
    "must_change": Words("口令须先更改", "password to be changed first"),
    "password": Words("口令须先更改", "password to be changed first"),
    "behind": Words("索引不是最新", "index out of date"),
    "disabled": Words("账号停用", "user disabled"),
    "unit": Words("使用单位停用或不符", "unit disabled, or another"),
    "role": Words("该角色无权查看", "not for this role"),
    "token": Words("令牌失效", "token no longer good"),
    "token-scope": Words("超出令牌权限", "beyond the token"),
    "agreement": Words("共享协议缺失或失效", "no agreement in force"),
    "training": Words("人员未经培训", "person not trained"),
    "terminal": Words("终端未申报", "terminal not declared"),
    "viewing-room": Words("查看场所录像缺失", "viewing room not recorded"),
    "camera": Words("摄像机未获授权", "no grant of the camera"),
    "action": Words("操作未获授权", "no grant of the action"),
    "validity": Words("授权不在有效期", "grant not valid"),
    "window": Words("超出授权时段", "beyond the footage granted"),
    "field": Words("必填项缺失", "field missing"),
    "approval": Words("宣传用途缺批准文号", "publicity without consent"),
    "second-person": Words("第二人审批未通过", "no second person's yes"),
    "asker": Words("不是申请人", "not who asked"),
    "lapsed": Words("进程停滞，视为结束", "taken for over"),
}
AUTHORITIES: Final[Mapping[str, Words]] = {
    "operator": Words("本机操作员", "operator of this host"),
    "role investigator": Words("侦查人员", "investigator"),
}
_NUMBERED: Final = re.compile(r"(grant|unit) (.*)")
_NAMED: Final = {"grant": "授权 ", "unit": "使用单位 "}
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


def refusal(code: str) -> Words:
    return REFUSALS.get(code, Words(code, code))


def article(name: str) -> Words:
    """`Art. 14 (7)` is of the rule of Huiyang; another text is named in full."""
    return Words(re.sub(r"^Art\. (\d+(?:, \d+)*)", _article, name), name)


def authority(text: str) -> Words:
    """What a leave rests on, as `access.authorize` says it."""
    found = _NUMBERED.fullmatch(text)
    if found is None:
        return AUTHORITIES.get(text) or refusal_text(text)
    return Words(f"{_NAMED[found[1]]}{found[2]}", text)


def _article(found: re.Match[str]) -> str:
    return f"第{found[1].replace(', ', '、')}条"
