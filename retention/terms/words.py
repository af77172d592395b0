"""What pages call the codes that are no reasons: scenes, causes, steps, outcomes, flags.

One table a vocabulary, Chinese first; a code that a table does not know is shown as it is.
"""

from __future__ import annotations

Words = dict[str, tuple[str, str]]

SCENE_ROLES: Words = {
    "purchase": ("购药", "Purchase"),
    "prescription": ("处方", "Prescription"),
    "dispensing": ("调配", "Dispensing"),
}
GAP_CAUSES: Words = {
    "camera_unreachable": ("摄像头连接不上", "The camera could not be reached"),
    "stream_stalled": ("摄像头没有送来画面", "The camera sent no pictures"),
    "stream_changed": ("摄像头改变了视频格式", "The camera changed its stream"),
    "recorder_stopped": ("录像程序按要求停止", "The recorder was stopped"),
    "recorder_crashed": ("录像程序意外中断", "The recorder ended unexpectedly"),
    "disk_failed": ("磁盘无法写入", "The disk could not be written"),
    "unsupported_codec": ("不支持摄像头的视频格式", "The camera's codec is not supported"),
    "unknown": ("原因不明", "The cause is not known"),
}
STEPS: Words = {
    "session.opened": ("开始业务", "Session opened"),
    "session.prescription": ("关联处方", "Prescription attached"),
    "session.basket": ("录入购药清单", "Basket entered"),
    "session.proxy": ("登记代购", "Proxy declared"),
    "identity.decided": ("身份核验", "Identity decided"),
    "session.authorised": ("准予结算", "Settlement permitted"),
    "session.refused": ("不予结算", "Settlement refused"),
    "settlement.attempted": ("提交结算", "Settlement submitted"),
    "settlement.concluded": ("结算结果", "Settlement concluded"),
    "session.closed": ("业务结束", "Session closed"),
    "session.covered": ("录像覆盖已核算", "Coverage reckoned"),
    "footage.sent": ("录像已上传", "Footage sent"),
}
OUTCOMES: Words = {
    "settled": ("已结算", "Settled"),
    "self_paid": ("自费", "Paid privately"),
    "abandoned": ("未完成", "Abandoned"),
    "refused": ("已拒绝", "Refused"),
    "unknown": ("结果未知", "Unknown"),
    "reversed": ("已冲正", "Reversed"),
    "permitted": ("准予", "Permitted"),
    "ACCEPT": ("通过", "Accepted"),
    "RETRY": ("请重试", "Try again"),
    "REFER": ("转其他方式", "Another way"),
}
METHODS: Words = {
    "face": ("人脸核验", "Face"),
    "document_attested": ("药师核对证件", "Document attested"),
    "certified_terminal": ("认证终端", "Certified terminal"),
    "fingerprint": ("指纹核验", "Fingerprint"),
}
CERTIFICATES: Words = {
    "01": ("医保电子凭证", "Insurance e-certificate"),
    "02": ("居民身份证", "Identity card"),
    "03": ("社会保障卡", "Social security card"),
}
DOCUMENTS: Words = {
    "id_card": ("居民身份证", "Identity card"),
    "social_security_card": ("社会保障卡", "Social security card"),
    "electronic_certificate": ("医保电子凭证", "Insurance e-certificate"),
    "passport": ("护照", "Passport"),
    "household_register": ("户口簿", "Household register"),
    "other_official": ("其他有效证件", "Another official document"),
}
FLAGS: Words = {
    "PAYLOAD_UNREADABLE": ("记录无法读懂", "A record cannot be read"),
    "PROXY": ("代购", "Proxy purchase"),
    "IDENTITY_REFER": ("人脸未能通过", "The face was not accepted"),
    "MISMATCH": ("人证不符", "The face did not match"),
    "PLANAR_MOTION": ("疑似平面照片", "Looked like a flat picture"),
    "STATIC_INPUT": ("画面静止", "The picture did not move"),
    "ATTESTED": ("由药师核对证件", "Attested by a pharmacist"),
    "GATE_REFUSED": ("曾不予结算", "The gate refused"),
    "SETTLEMENT_UNKNOWN": ("结算结果未知", "The settlement is unknown"),
    "COVERAGE_SHORT": ("录像不完整", "Footage is missing"),
    "GAP_OPEN": ("录像中断未恢复", "A gap is still open"),
    "INCIDENT": ("节点异常", "Incident at the node"),
    "CLOCK_JUMPED": ("时钟跳变", "The clock jumped"),
}
FOOTAGE_ANSWERS: Words = {
    "NOT_SIMULATED": ("真实摄像头的录像暂不上传", "footage of real cameras is not uploaded yet"),
    "NO_SUCH_CAMERA": ("节点没有这一摄像头", "the node has no such camera"),
    "NO_FOOTAGE": ("节点没有这一时段的录像", "the node has no footage of that time"),
    "TOO_MANY_SEGMENTS": ("这一时段的录像段过多", "too many segments in that time"),
    "FILE_UNREADABLE": ("节点上的录像文件无法读取", "a file at the node cannot be read"),
    "FILE_TOO_SHORT": ("节点上的录像文件不完整", "a file at the node is too short"),
    "EXPIRED": ("调取已过期", "the request expired"),
    "BAD_SIGNATURE": ("节点不认可中心的签名", "the node did not accept central's signature"),
    "OTHER_NODE": ("调取发给了另一节点", "the request was for another node"),
    "RECORD_MISMATCH": ("录像记录前后不一致", "the segment's record is not the one held"),
    "NOT_ASKED_FOR": ("送来的不是所调取的录像", "what came was not asked for"),
    "BYTES_MISMATCH": ("录像长度与记录不符", "the length is not the record's"),
    "TOO_LONG": ("录像长度与记录不符", "the length is not the record's"),
    "SHA256_MISMATCH": ("录像内容与记录不符", "the content is not the record's"),
    "CHUNK_ROOT_MISMATCH": ("录像内容与记录不符", "the content is not the record's"),
    "FILE_MISSING": ("文件已不在复核中心", "the file is no longer at central"),
    "FILE_CHANGED": ("文件内容与记录不符", "the file is not the one its record describes"),
    "RECORD_CHANGED": ("记录不在存证树中，或与数据库不符", "the record is not in the proven tree"),
    "CHECKPOINT_CHANGED": ("存证签名不成立", "the checkpoint's signatures do not hold"),
    "CHECKPOINT_UNKNOWN": ("没有相应的存证", "no checkpoint covers it"),
    "PROOF_REJECTED": ("存证证明不成立", "the proof does not hold"),
    "STORAGE_UNAVAILABLE": ("复核中心磁盘无法写入", "central could not write its disk"),
}
TABLES: dict[str, Words] = {
    "role": SCENE_ROLES,
    "cause": GAP_CAUSES,
    "step": STEPS,
    "outcome": OUTCOMES,
    "method": METHODS,
    "certificate": CERTIFICATES,
    "document": DOCUMENTS,
    "flag": FLAGS,
    "footage": FOOTAGE_ANSWERS,
}


def word(lang: str, table: str, code: str) -> str:
    """Return what a code of a table is called. Raises KeyError for a table that is not there."""
    known = TABLES[table].get(code)
    return code if known is None else known[0 if lang == "zh" else 1]
