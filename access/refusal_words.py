"""Why a look or an export was refused or is a finding, as `access.authorize` and the door word it, in Chinese too. Nothing is
decided here.

A refusal's code has its two words in `access.register_words`; this is the sentence that names whom, which camera and which time.
"""

from __future__ import annotations

from typing import Final

from retention.inspect_words import Words
from retention.sentences import Sentences

_REFUSALS: Final = Sentences(
    {
        "user {id} is disabled": "账号 {id} 已停用",
        "user {id}: is disabled": "账号 {id} 已停用",
        "user {id} has to change the password first": "账号 {id} 须先更改口令",
        "user {id} may do nothing before the password is changed": "账号 {id} 须先更改口令",
        "user {id}: the password was set by another person and is changed first: {rest}": "账号 {id} 的口令由他人设置，须先更改",
        "user {id}: password, role or unit were changed; sign in again": "账号 {id} 的口令、角色或单位已变更，须重新登录",
        "user {id}: unit {id2} is disabled": "账号 {id}：使用单位 {id2} 已停用",
        "user {id} is of no unit, and footage is for units that were permitted": "账号 {id} 不属于任何经许可的使用单位",
        "user {id} was not trained: footage is for a unit's trained staff": "账号 {id} 未经培训",
        "a user of role {id} sees no footage": "角色 {id} 无权查看录像",
        "a user of role {id} does not decide on exports of unit {rest}": "角色 {id} 无权审批使用单位 {rest} 的导出",
        "token {id} is no longer good": "令牌 {id} 已失效",
        "token {id} is not for {id2}": "令牌 {id} 无 {id2} 权限",
        "unit {id} is disabled": "使用单位 {id} 已停用",
        "unit {id} has signed no sharing agreement": "使用单位 {id} 未签订共享协议",
        "the agreement of unit {id} is not in force: it is {span}": "使用单位 {id} 的共享协议不在有效期：{span}",
        "{rest} is no declared terminal of unit {id}; `unit terminal add` declares one": "{rest} 不是使用单位 {id} 申报的终端",
        "this host's own command line": "本机命令行",
        "unit {id} has no grant of camera {camera}": "使用单位 {id} 未获摄像机 {camera} 的授权",
        "unit {id} has no grant to {id2} camera {camera}": "使用单位 {id} 未获对摄像机 {camera} 的 {id2} 授权",
        "the grant of camera {camera} to unit {id} is not valid now: {span}": (
            "使用单位 {id} 对摄像机 {camera} 的授权不在有效期：{span}"
        ),
        "the grant of camera {camera} to unit {id} is for footage {span}, and {span2} was asked for": (
            "使用单位 {id} 对摄像机 {camera} 的授权时段：{span}；申请时段：{span2}"
        ),
        "the grant of camera {camera} to unit {id} is for footage {span}, while the camera stood at a site of it, and {span2} "
        "was asked for": "使用单位 {id} 对摄像机 {camera} 的授权时段（摄像机在授权场所期间）：{span}；申请时段：{span2}",
        "the grant of {id} is for footage {span}, and {span2} was asked for": "{id} 的授权时段：{span}；申请时段：{span2}",
        "the grant of {id} says nothing of {at}": "{id} 的授权不含 {at}",
        "the grant of {id} is for another camera than {camera}": "{id} 的授权不含摄像机 {camera}",
        "the pictures asked for cannot be shown without others that no grant covers": "所申请画面须依赖未获授权的画面才能显示",
        "finding: {rest}": "检查发现：{rest}",
        "no camera shows its viewing room": "查看场所无摄像机",
        "its viewing-room camera {camera} has recorded nothing": "查看场所摄像机 {camera} 无录像",
        "its viewing-room camera {camera} is silent since {at}": "查看场所摄像机 {camera} 自 {at} 起无录像",
        "unit {id}: {rest}": "使用单位 {id}：{rest}",
        "this look was taken for over while its process stood still": "进程停滞期间，本次查看已视为结束",
        "too many wrong passwords or tokens for this name or from this address; try again in {count} s": (
            "该账号或地址的错误口令或令牌过多，请 {count} 秒后再试"
        ),
        "the name, the password or the token is wrong": "账号、口令或令牌错误",
        "the index is older than its store, and may have forgotten what was taken from somebody; run `index rebuild` first": (
            "索引早于存储，须先运行 index rebuild"
        ),
        "publicity needs the reference of the police's consent: approval-ref": "宣传报道须有公安机关批准文号",
        "export {id} waits for a second person: {rest}": "导出 {id} 等待第二人审批",
        "export {id} is {id2}'s": "导出 {id} 属于 {id2}",
        "export {id} was asked for by unit {id2}; ask anew": "导出 {id} 由使用单位 {id2} 申请，须重新申请",
        "unit {id} wants a second person by now, and nobody approved export {id2}; ask anew": (
            "使用单位 {id} 现要求第二人审批，导出 {id2} 未经审批，须重新申请"
        ),
        "{id} asked for export {id2}: another person has to decide on it": "导出 {id2} 由 {id} 申请，须由他人审批",
        "a second person approves in their own name: say --as USER": "第二人须以本人账号审批",
    }
)


def refusal_text(english: str) -> Words:
    """A sentence of no known form stands as it is, such as the reason that a person typed."""
    return Words(_REFUSALS.chinese(english) or english, english)
