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
    "disk_full": ("磁盘已满", "The disk is full"),
    "planned_shutdown": ("按计划关机", "The node was shut down as planned"),
    "power_failing": ("断电前有序关机", "The node shut down before its power failed"),
    "view_black": ("画面全黑", "The picture is black"),
    "view_frozen": ("画面静止不变", "The picture is frozen"),
    "view_covered": ("镜头被遮挡", "The camera is covered"),
    "view_out_of_focus": ("画面模糊", "The picture is out of focus"),
    "view_moved": ("镜头被移动", "The camera was moved"),
    "unsupported_codec": ("不支持摄像头的视频格式", "The camera's codec is not supported"),
    "unknown": ("原因不明", "The cause is not known"),
}
STEPS: Words = {
    "session.opened": ("开始业务", "Session opened"),
    "session.prescription": ("关联处方", "Prescription attached"),
    "session.basket": ("录入购药清单", "Basket entered"),
    "session.proxy": ("登记代购", "Proxy declared"),
    "identity.decided": ("身份核验", "Identity decided"),
    "identity.attack_suspected": ("疑似冒用人脸", "A copied face is suspected"),
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
    "ALARM": ("节点告警", "An alarm of the node"),
    "BREACH": ("留存期限无法满足", "A retention term cannot be kept"),
    "VIEW_UNUSABLE": ("摄像头画面不可用", "A camera shows nothing usable"),
    "INDEX_REBUILT": ("节点数据库曾丢失并重建", "The node lost its database and rebuilt it"),
    "ATTACK_SUSPECTED": ("疑似冒用人脸", "A copied face is suspected"),
    "FACE_LOCKED": ("人脸方式已锁定", "The face method is locked"),
}
ALARMS: Words = {
    "CAMERA_SILENT": ("摄像头没有新录像", "A camera records nothing new"),
    "SEGMENT_INVALID": ("新录像无法读取", "New footage cannot be read"),
    "VIEW_UNUSABLE": ("摄像头画面不可用", "A camera shows nothing usable"),
    "VIEW_UNWATCHED": ("摄像头画面未被检查", "A camera's picture is not checked"),
    "DISK_WARN": ("存储空间将不足", "Storage is running short"),
    "DISK_ALARM": ("存储空间即将用尽", "Storage is nearly used up"),
    "DISK_FULL": ("存储空间已用尽", "Storage is used up"),
    "FLOOR_AT_RISK": ("录像可能存不满法定期限", "Footage may not be kept as long as it must"),
    "VOLUME_MISSING": ("录像磁盘不在", "A footage disk is missing"),
    "CLOCK_JUMPED": ("节点时钟跳变", "The node's clock jumped"),
    "SCRUB_BROKEN": ("已存录像损坏", "Stored footage is damaged"),
    "SALE_WHILE_CLOSED": ("歇业时段内办理业务", "A sale while the pharmacy is closed"),
    "FACE_METHOD_OFF": ("人脸核验已停用", "The face method is off"),
}
VIEW_CONDITIONS: Words = {
    "clear": ("画面正常", "The picture is usable"),
    "black": ("画面全黑", "The picture is black"),
    "frozen": ("画面静止不变", "The picture is frozen"),
    "covered": ("镜头被遮挡", "The camera is covered"),
    "out_of_focus": ("画面模糊", "The picture is out of focus"),
    "moved": ("镜头被移动", "The camera was moved"),
}
FOOTAGE_ANSWERS: Words = {
    "NOT_SIMULATED": ("真实摄像头的录像暂不上传", "footage of real cameras is not uploaded yet"),
    "NO_SUCH_CAMERA": ("节点没有这一摄像头", "the node has no such camera"),
    "NO_FOOTAGE": ("节点没有这一时段的录像", "the node has no footage of that time"),
    "TOO_MANY_SEGMENTS": ("这一时段的录像段过多", "too many segments in that time"),
    "VOLUME_MISSING": ("节点上的录像磁盘不在", "the node's footage disk is missing"),
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
    "FILE_NOT_READ": ("复核中心的文件无法读取", "the file at central cannot be read"),
    "FILE_MISSING": ("文件已不在复核中心", "the file is no longer at central"),
    "FILE_CHANGED": ("文件内容与记录不符", "the file is not the one its record describes"),
    "RECORD_CHANGED": ("记录不在存证树中，或与数据库不符", "the record is not in the proven tree"),
    "CHECKPOINT_CHANGED": ("存证签名不成立", "the checkpoint's signatures do not hold"),
    "CHECKPOINT_UNKNOWN": ("没有相应的存证", "no checkpoint covers it"),
    "PROOF_REJECTED": ("存证证明不成立", "the proof does not hold"),
    "STORAGE_UNAVAILABLE": ("复核中心磁盘无法写入", "central could not write its disk"),
}
SAMPLE_CAUSES: Words = {
    "NO_SUCH_LEAF": ("节点说没有这条记录", "the node says that it never had it"),
    "RECORD_MISSING": ("节点上的记录已不在", "the record is gone from the node"),
    "ROW_MISSING": ("节点索引中没有这段录像", "the node's index does not know it"),
    "VOLUME_MISSING": ("录像磁盘不在", "the footage disk is missing"),
    "FILE_MISSING": ("录像文件不在", "the file is missing"),
    "FILE_UNREADABLE": ("录像文件无法读取", "the file cannot be read"),
    "FILE_CHANGED": ("录像文件被改动", "the file was changed"),
    "RECORD_CHANGED": ("记录被改动", "the record was changed"),
    "RECORD_UNREADABLE": ("记录无法读懂", "the record cannot be read"),
    "RECORD_MISPLACED": ("记录不属于这一位置", "the record belongs elsewhere"),
    "PROOF_REJECTED": ("存证证明不成立", "the proof does not hold"),
    "CHUNK_REJECTED": ("出示的内容与记录不符", "what was shown is not the record's"),
    "DISPOSAL_UNPROVEN": ("处置记录不成立", "the disposal is not proven"),
    "DISPOSAL_MISPLACED": ("处置记录说的是别的录像", "the disposal is of something else"),
    "DISPOSED_EARLY": ("在期限之前被处置", "disposed of before its term"),
    "DISPOSED_UNDER_HOLD": ("在封存期间被处置", "disposed of under a hold"),
    "NOT_SAID": ("节点没有说明", "the node does not say why"),
}
RETENTION_SUBJECTS: Words = {
    "footage": ("录像", "Footage"),
    "archive": ("业务档案", "Session archives"),
    "purchase_evidence": ("进货凭证", "Purchase evidence"),
    "processing": ("个人信息处理记录", "Processing records"),
    "footage_index": ("录像索引", "The footage index"),
    "operations": ("运行记录", "Operating records"),
}
FACE_MATERIALS: Words = {
    "face_reference": ("人脸比对照片", "Face references"),
    "probe_crop": ("现场人脸截图", "Face crops"),
}
HOLD_SCOPES: Words = {
    "session": ("一笔业务", "One session"),
    "person": ("一名参保人的全部业务", "Every session of an insured person"),
    "pharmacy": ("整家药店", "The whole pharmacy"),
    "span": ("一段时间", "A span of time"),
}
BREACH_CAUSES: Words = {
    "disk_full": ("存储空间不足", "Not enough storage"),
    "footage_missing": ("录像缺失", "Footage is missing"),
    "footage_changed": ("录像被改动", "Footage was changed"),
    "volume_missing": ("录像磁盘不在", "A footage disk is missing"),
}
BREACH_STAGES: Words = {
    "announced": ("预告", "Announced"),
    "recorded": ("已发生", "Happened"),
    "averted": ("已避免", "Averted"),
}
CLOSURE_KINDS: Words = {
    "closed": ("歇业", "Closed"),
    "power_off": ("断电", "Power off"),
}
NEXT_STEPS: Words = {
    "enrol_or_attest": ("待核验身份", "Verify the identity"),
    "verify": ("待核验身份", "Verify the identity"),
    "attest": ("待换一种方式核验", "Verify in another way"),
    "guardian": ("待监护人登记", "A guardian registers"),
    "basket": ("待录入药品", "Enter the basket"),
    "prescription": ("待关联处方", "Attach the prescription"),
    "authorise": ("待结算", "Settle"),
    "settle": ("可以结算", "May settle"),
    "wait": ("结算结果未知", "Settlement unknown"),
    "close": ("已结算，待结束", "Settled, to be closed"),
    "closed": ("已结束", "Closed"),
}
RELATIONS: Words = {
    "spouse": ("配偶", "Spouse"),
    "parent": ("父母", "Parent"),
    "son": ("儿子", "Son"),
    "daughter": ("女儿", "Daughter"),
    "sibling": ("兄弟姐妹", "Sibling"),
    "relative": ("其他亲属", "Another relative"),
    "guardian": ("监护人", "Guardian"),
    "caregiver": ("照护人员", "Caregiver"),
    "other": ("其他", "Other"),
}
RX_SOURCES: Words = {
    "electronic": ("电子处方", "Electronic"),
    "external_paper": ("外配纸质处方", "External, on paper"),
}
GATE_RULES: Words = {
    "decision_present": ("已核验身份", "Identity was checked"),
    "decision_valid": ("核验结果有效", "The decision holds"),
    "subject_matches": ("核验的是到场的人", "The person at the counter was checked"),
    "attempts_within_limit": ("核验次数未超限", "Attempts within the limit"),
    "proxy_form_complete": ("代购登记完整", "The proxy form is complete"),
    "child_has_guardian": ("儿童由监护人代办", "A guardian acts for a child"),
    "guardian_of_age": ("监护人已成年", "The guardian is of age"),
    "basket_present": ("已录入清单", "A basket was entered"),
    "basket_adds_up": ("清单金额一致", "The basket adds up"),
    "trace_codes_once": ("追溯码不重复", "No trace code twice"),
    "amount_within_limit": ("核验强度够这个金额", "The check is strong enough for the amount"),
    "prescription_present": ("处方药有处方", "A prescription where needed"),
    "prescription_in_time": ("处方在有效期内", "The prescription is in time"),
    "prescription_of_patient": ("处方属于参保人", "The prescription is the patient's"),
    "pharmacist_present": ("药师在岗", "A pharmacist is present"),
}
QUALITY_MEASURES: Words = {
    "detection_score": ("检出置信度", "Detection score"),
    "inter_eye_px": ("两眼距离", "Eye distance"),
    "inter_eye_distance": ("两眼距离", "Eye distance"),
    "yaw_degrees": ("左右转角", "Yaw"),
    "pitch_degrees": ("俯仰角", "Pitch"),
    "sharpness": ("清晰度", "Sharpness"),
    "brightness": ("亮度", "Brightness"),
    "inside_share": ("人脸在画面内的比例", "Share inside the frame"),
}
LIVENESS_SIGNALS: Words = {
    "motion": ("画面变化", "Motion"),
    "plane_residual": ("立体程度", "Depth beyond a plane"),
    "pass": ("通过", "Passed"),
    "fail": ("未通过", "Failed"),
    "not_assessed": ("未能评估", "Not assessed"),
}
ACCOUNT_ROLES: Words = {
    "inspector": ("复核员", "Inspector"),
    "admin": ("管理员", "Admin"),
}
# What access rows tell, in the order in which the access log offers it.
GROUPS: Words = {
    "under_14": ("不满 14 岁", "Under 14"),
    "14_17": ("14–17 岁", "14 to 17"),
    "18_39": ("18–39 岁", "18 to 39"),
    "40_59": ("40–59 岁", "40 to 59"),
    "60_69": ("60–69 岁", "60 to 69"),
    "70_79": ("70–79 岁", "70 to 79"),
    "80_up": ("80 岁及以上", "80 and over"),
    "female": ("女", "Women"),
    "male": ("男", "Men"),
    "unknown": ("不详", "Not known"),
    "everybody": ("全部", "Everybody"),
}
ACCESS_ACTIONS: Words = {
    "faces.read": ("查看人脸核验统计", "Read the accounts of the face method"),
    "account.sign_in": ("登录", "Signed in"),
    "account.sign_out": ("退出", "Signed out"),
    "account.locked": ("账号被锁定", "Account locked"),
    "account.list": ("查看账号列表", "Listed accounts"),
    "account.read": ("查看账号", "Read an account"),
    "account.add": ("添加账号", "Added an account"),
    "account.role": ("更改角色", "Changed a role"),
    "account.reset": ("重设密码", "Reset a password"),
    "account.password": ("修改自己的密码", "Changed own password"),
    "account.disable": ("停用账号", "Disabled an account"),
    "account.enable": ("恢复账号", "Enabled an account"),
    "sessions.list": ("查看业务列表", "Listed sessions"),
    "session.form": ("准备打开业务", "Asked to open a session"),
    "session.open": ("打开业务", "Opened a session"),
    "session.read": ("查看业务", "Read a session"),
    "footage.ask": ("调取录像", "Asked for footage"),
    "footage.read": ("查看录像进度", "Read footage"),
    "footage.play": ("播放录像", "Played footage"),
    "footage.clear": ("显示清晰画面", "Showed clear pictures"),
    "footage.blur": ("恢复模糊画面", "Blurred again"),
    "nodes.list": ("查看节点列表", "Listed nodes"),
    "node.read": ("查看节点", "Read a node"),
    "node.enrol": ("登记节点", "Enrolled a node"),
    "node.revoke": ("停用节点", "Revoked a node"),
    "keys.read": ("查看中心公钥", "Read central's keys"),
    "records.read": ("查看原始记录", "Read records"),
    "coverage.read": ("查看录像覆盖", "Read coverage"),
    "retention.read": ("查看留存", "Read retention"),
    "audit.start": ("发起抽查", "Started an audit"),
    "audit.read": ("查看抽查", "Read an audit"),
    "hold.place": ("封存", "Placed a hold"),
    "hold.read": ("查看封存", "Read a hold"),
    "hold.release": ("解除封存", "Released a hold"),
    "policy.adopt": ("下达留存政策", "Adopted a retention policy"),
    "access.read": ("查看访问记录", "Read the access log"),
    "access.export": ("导出访问记录", "Exported the access log"),
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
    "alarm": ALARMS,
    "view": VIEW_CONDITIONS,
    "account_role": ACCOUNT_ROLES,
    "access": ACCESS_ACTIONS,
    "group": GROUPS,
    "next": NEXT_STEPS,
    "relation": RELATIONS,
    "rx_source": RX_SOURCES,
    "footage": FOOTAGE_ANSWERS,
    "sample": SAMPLE_CAUSES,
    "subject": RETENTION_SUBJECTS,
    "material": FACE_MATERIALS,
    "scope": HOLD_SCOPES,
    "breach": BREACH_CAUSES,
    "stage": BREACH_STAGES,
    "closure": CLOSURE_KINDS,
    "rule": GATE_RULES,
    "measure": QUALITY_MEASURES,
    "signal": LIVENESS_SIGNALS,
}


def word(lang: str, table: str, code: str) -> str:
    """Return what a code of a table is called. Raises KeyError for a table that is not there."""
    known = TABLES[table].get(code)
    return code if known is None else known[0 if lang == "zh" else 1]
