"""The one registry of reason codes: Chinese first, English beside it, and what to do now.

API, command line, pages and receipts read this table; no other place words a reason.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """A stable code, what happened (zh, en) and what to do now (zh, en)."""

    code: str
    zh: str
    en: str
    do_zh: str
    do_en: str


_NONE = ("", "")
_OTHER = ("请换一种方式核验", "Use another way to verify")
_AGAIN = ("请重新核验", "Verify again")

REASONS: tuple[Reason, ...] = (
    # identity: capture and quality
    Reason("MATCH", "人证相符", "The person matches the reference", *_NONE),
    Reason("NO_FACE", "画面中没有人脸", "No face in view", "请看镜头", "Look at the camera"),
    Reason("MULTIPLE_FACES", "画面中有多张人脸", "Several faces in view", "请一人面对镜头",
           "One person only, please"),
    Reason("FACE_TOO_SMALL", "距离太远", "The face is too small", "请靠近一些", "Come closer"),
    Reason("POSE", "没有正对镜头", "The head is turned too far", "请正对镜头",
           "Face the camera"),
    Reason("BLURRED", "画面模糊", "The picture is blurred", "请稍停不动", "Hold still"),
    Reason("TOO_DARK", "光线太暗", "Too dark", "请到亮处", "Move to the light"),
    Reason("TOO_BRIGHT", "光线太亮", "Too bright", "请避开强光", "Avoid the strong light"),
    Reason("PARTLY_OUT_OF_FRAME", "人脸不完整", "The face is partly out of frame",
           "请移到画面中间", "Move to the middle"),
    # identity: decision
    Reason("MISMATCH", "与参保人身份不符", "The person does not match the reference", *_OTHER),
    Reason("INCONCLUSIVE", "无法确定是否本人", "Not clear enough to decide", *_OTHER),
    Reason("STATIC_INPUT", "画面没有变化", "The picture does not move", *_OTHER),
    Reason("PLANAR_MOTION", "需要换一种方式核验", "The motion is that of a flat picture", *_OTHER),
    Reason("LIVENESS_NOT_ASSESSED", "活体检测未能完成", "Liveness could not be assessed", *_OTHER),
    Reason("DEADLINE", "核验超时", "The attempt ran out of time", *_AGAIN),
    Reason("FACE_CHANGED", "核验中人脸发生变化", "The face changed during the attempt", *_AGAIN),
    Reason("INTERNAL_ERROR", "核验出错", "The check failed inside", *_OTHER),
    Reason("VERIFIER_UNAVAILABLE", "人脸核验暂不可用", "Face verification is not available",
           *_OTHER),
    Reason("CAMERA_UNAVAILABLE", "摄像头不可用", "The camera is not available", *_OTHER),
    Reason("REFERENCE_MISSING", "没有可比对的照片", "No reference is enrolled", *_OTHER),
    Reason("REFERENCE_EXPIRED", "比对照片已过期", "The reference has expired", *_OTHER),
    Reason("CONTRACT_MISMATCH", "比对照片需要重新采集", "The reference belongs to another model",
           *_OTHER),
    Reason("NO_CONSENT", "没有人脸核验同意", "No consent to face verification", *_OTHER),
    Reason("DOCUMENT_ATTESTED", "药师已核对证件", "A pharmacist compared the document", *_NONE),
    Reason("ATTEMPTS_EXHAUSTED", "核验次数已用完", "No attempts left", *_OTHER),
    # gate
    Reason("NO_DECISION", "尚未核验身份", "No identity decision yet", "请先核验身份",
           "Verify the identity first"),
    Reason("RECEIPT_NOT_ACCEPT", "身份核验未通过", "The identity decision is not ACCEPT", *_OTHER),
    Reason("RECEIPT_EXPIRED", "身份核验已过期", "The decision receipt has expired", *_AGAIN),
    Reason("RECEIPT_OTHER_SESSION", "凭据属于另一笔业务", "The receipt is of another session",
           *_AGAIN),
    Reason("RECEIPT_OTHER_CLAIM", "凭据属于另一参保人", "The receipt is of another claim", *_AGAIN),
    Reason("BASKET_EMPTY", "没有药品清单", "No basket", "请录入购药清单", "Enter the basket"),
    Reason("BASKET_CHANGED", "清单已变更，授权作废",
           "The basket changed, so the authorisation is void",
           "请重新授权", "Authorise again"),
    Reason("PRESCRIPTION_MISSING", "处方药缺少处方", "A prescription line has no prescription",
           "请关联处方", "Attach the prescription"),
    Reason("PRESCRIPTION_EXPIRED", "处方已过期", "The prescription has expired", "请更换处方",
           "Use another prescription"),
    Reason("PRESCRIPTION_OTHER_PATIENT", "处方与参保人不一致",
           "The prescription is of another patient", "请核对处方", "Check the prescription"),
    Reason("PROXY_FORM_INCOMPLETE", "代购登记表不完整", "The proxy form is incomplete",
           "请补全登记表", "Complete the form"),
    Reason("PROXY_NOT_VERIFIED", "尚未核验代购人", "The purchaser is not verified",
           "请核验代购人", "Verify the purchaser"),
    Reason("AUTHORISATION_MISSING", "没有结算授权", "There is no authorisation", "请先授权",
           "Authorise first"),
    Reason("AUTHORISATION_EXPIRED", "结算授权已过期", "The authorisation has expired",
           "请重新授权", "Authorise again"),
    Reason("AUTHORISATION_USED", "授权已使用", "The authorisation has been used", *_NONE),
    Reason("SETTLEMENT_UNKNOWN", "结算结果未知，正在冲正", "The result is unknown and is reversed",
           "请稍候再试", "Wait, then try again"),
    Reason("SETTLEMENT_REFUSED", "医保平台拒绝结算", "The platform refused the settlement",
           "请自费或稍后再试", "Pay privately or try later"),
    Reason("SETTLEMENT_MODE", "结算方式不符", "This node does not settle in that way",
           "请检查配置", "Check the configuration"),
    # session and terminal
    Reason("SESSION_UNKNOWN", "没有这笔业务", "No such session", *_NONE),
    Reason("SESSION_CLOSED", "业务已关闭", "The session is closed", "请新开业务",
           "Open a new session"),
    Reason("INVALID_REQUEST", "请求内容有误", "The request is not valid", "请检查所列字段",
           "Check the fields named"),
    Reason("TOO_LARGE", "请求内容过大", "The request is too large", *_NONE),
    Reason("UNAUTHENTICATED", "尚未登录或配对", "Not signed in, or not paired",
           "请先登录；收银终端请先配对", "Sign in first; pair a counter terminal first"),
    Reason("FORBIDDEN", "没有权限", "Not permitted", *_NONE),
    Reason("NOT_FOUND", "没有这一地址", "No such address", *_NONE),
    Reason("PAIRING_REFUSED", "配对码无效", "The pairing code is not valid", "请重新生成配对码",
           "Make a new code"),
    Reason("PHARMACIST_REFUSED", "药师凭证无效", "The pharmacist's credential is not valid",
           "请药师重新输入", "Ask the pharmacist again"),
    Reason("IMAGE_REFUSED", "照片不合格", "The picture is not usable", "请更换照片",
           "Use another picture"),
    Reason("STORAGE_UNAVAILABLE", "存储暂不可用", "Storage is not available now",
           "请稍后再试；仍不行请联系管理员",
           "Try again shortly; if it stays so, call the administrator"),
    Reason("NODE_UNKNOWN", "没有这一节点", "No such node", *_NONE),
    Reason("NOT_SIMULATED", "真实摄像头录像暂不上传", "Footage of real cameras is not uploaded yet",
           *_NONE),
    Reason("BUSY", "摄像头正在核验另一位顾客", "The camera is checking someone else", "请稍候再试",
           "Wait a moment, then try again"),
    Reason("OUTCOME_MISMATCH", "关闭结果与结算不符", "The outcome does not fit the settlement",
           "请核对结算结果", "Check the settlement"),
    Reason("ALREADY_SETTLED", "业务已结算，不能更改", "The session is settled and cannot change",
           "请关闭业务", "Close the session"),
    Reason("CONSENT_UNKNOWN", "没有这份同意书", "No such consent", *_NONE),
    Reason("RECEIPT_SIGNATURE", "核验凭据签名无效", "The receipt's signature does not hold",
           *_AGAIN),
    Reason("BASKET_INCONSISTENT", "清单金额不一致", "The basket does not add up", "请重新录入清单",
           "Enter the basket again"),
    Reason("TRACE_CODE_TWICE", "同一追溯码重复扫描", "A trace code appears twice", "请核对追溯码",
           "Check the trace codes"),
    Reason("UNAVAILABLE", "本机正在停止或过忙", "The node is stopping or too busy", "请稍候再试",
           "Wait a moment, then try again"),
    Reason("SESSION_AMBIGUOUS", "多个节点有这一编号的业务",
           "Several nodes have a session of this id", "请指明节点", "Name the node"),
    Reason("NOT_OPENED", "这笔业务没有打开，或打开已过期",
           "The session is not open, or its opening has expired",
           "请回到业务页，填写理由后重新打开", "Go to the session page and open it with a reason"),
    # accounts and signing in
    Reason("SIGN_IN_REFUSED", "用户名或密码不对，或账号已锁定",
           "The name or the password is wrong, or the account is locked",
           "请重新输入。连续输错五次会锁定 15 分钟；忘记密码请联系管理员",
           "Try again. Five failures lock an account for 15 minutes; "
           "an administrator can give a new password"),
    Reason("FORM_STALE", "页面已失效，这次操作没有执行",
           "The page is out of date; nothing was done",
           "请返回上一页，刷新后再试", "Go back, reload the page and try again"),
    Reason("FORM_ELSEWHERE", "请求来自别的网站，没有执行",
           "The request came from another site; nothing was done",
           "请从本系统的页面操作", "Use the pages of this service"),
    Reason("PASSWORD_CHANGE_NEEDED", "请先设置自己的密码",
           "A password of your own is needed first", "请修改密码", "Change the password"),
    Reason("NAME_REFUSED", "用户名不合规定", "The name is not allowed",
           "请用 2–32 个小写字母、数字或 . _ -", "Use 2 to 32 letters, digits or . _ -"),
    Reason("NAME_TAKEN", "用户名已被使用", "The name is taken", "请换一个用户名",
           "Choose another name"),
    Reason("PASSWORD_SHORT", "密码太短", "The password is too short", "请至少用 10 个字符",
           "Use at least 10 characters"),
    Reason("PASSWORD_LONG", "密码太长", "The password is too long", "请最多用 128 个字符",
           "Use at most 128 characters"),
    Reason("PASSWORD_COMMON", "密码太常见", "The password is too common",
           "请换一个别人想不到的密码", "Choose one that nobody would guess"),
    Reason("PASSWORD_UNREADABLE", "密码含有无法识别的字符", "The password holds half a character",
           "请重新输入", "Type it again"),
    Reason("PASSWORD_TWICE", "两次输入的密码不一样", "The two passwords are not the same",
           "请重新输入", "Type it again"),
    Reason("PASSWORD_SAME", "新密码和原密码相同", "The new password is the old one",
           "请换一个新密码", "Choose a new one"),
    Reason("PASSWORD_WRONG", "原密码不对", "The present password is wrong", "请重新输入",
           "Type it again"),
    Reason("ADMIN_TOKEN_REFUSED", "管理员令牌不对", "The administrator's token is wrong",
           "请从数据文件夹的 admin.token 复制整行", "Copy the whole line of admin.token"),
    Reason("ACCOUNT_UNKNOWN", "没有这个账号", "No such account", "请返回账号列表",
           "Go back to the accounts"),
    Reason("LAST_ADMIN", "这是最后一个可用的管理员", "This is the last admin who may sign in",
           "请先添加另一个管理员", "Add another admin first"),
    Reason("METHOD_UNKNOWN", "这一地址不接受这种请求",
           "The address does not take this kind of request",
           "请从页面上的按钮或链接操作", "Use the buttons and links of the pages"),
)  # fmt: skip

BY_CODE: dict[str, Reason] = {reason.code: reason for reason in REASONS}
