"""What the counter's forms ask for: one table of fields, their names and what may be entered.

Labels, hints and error messages come from here, so that an error always says what is allowed. The
key is the form and the field's name within it, list positions left out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its label and its rule, Chinese first. `hinted` rules stand beside the label."""

    zh: str
    en: str
    rule_zh: str = ""
    rule_en: str = ""
    hinted: bool = False


_NUMBER = Field("证件号码", "Number", "6 至 64 位字母或数字", "6 to 64 letters or digits")
_TYPE = Field("凭证类型", "Credential", "请选择", "Choose one")
_CODE = ("1 至 64 位字母、数字或 _.:/+-", "1 to 64 letters, digits or _.:/+-")
_FILE = ("照片或扫描件", "A photo or a scan")

FIELDS: dict[str, Field] = {
    "pairing.code": Field("配对码", "Pairing code", "八位数字", "Eight digits", hinted=True),
    "pairing.name": Field("终端名称", "Terminal's name", "1 至 64 个字", "1 to 64 characters"),
    "pair.counter": Field("柜台编号", "Counter", *_CODE),
    "pair.pharmacist": Field("药师编号", "Pharmacist", *_CODE),
    "pair.secret": Field("药师口令", "Pharmacist's secret", "请药师本人输入",
                         "Entered by the pharmacist", hinted=True),
    "duty.pharmacist": Field("药师编号", "Pharmacist", *_CODE),
    "duty.secret": Field("药师口令", "Pharmacist's secret", "请药师本人输入",
                         "Entered by the pharmacist", hinted=True),
    "duty.picture": Field("本人照片", "Your picture", "JPEG 或 PNG，不超过 8 MB",
                          "JPEG or PNG, at most 8 MB", hinted=True),
    "session.operator": Field("操作员", "Operator", *_CODE),
    "session.claim.certificate.type": _TYPE,
    "session.claim.certificate.number": _NUMBER,
    "session.claim.name": Field("姓名", "Name", "1 至 64 个字", "1 to 64 characters"),
    "session.claim.insuplc_admdvs": Field("参保地", "Insured area", "六位行政区划代码",
                                          "Six digits of the area"),
    "consents.certificate.type": _TYPE,
    "consents.certificate.number": _NUMBER,
    "reference.picture": Field("证件照片", "Picture on the card", "JPEG 或 PNG，不超过 8 MB",
                               "JPEG or PNG, at most 8 MB", hinted=True),
    "authority.certificate.type": _TYPE,
    "authority.certificate.number": _NUMBER,
    "authority.name": Field("姓名", "Name", "1 至 64 个字", "1 to 64 characters"),
    "proxy.certificate.type": Field("代购人证件", "Purchaser's document", "请选择", "Choose one"),
    "proxy.certificate.number": _NUMBER,
    "proxy.certificate": _NUMBER,
    "proxy.name": Field("代购人姓名", "Purchaser's name", "1 至 64 个字", "1 to 64 characters"),
    "proxy.relation": Field("与参保人关系", "Relation", "请选择", "Choose one"),
    "proxy.reason": Field("代购原因", "Reason", "1 至 200 个字", "1 to 200 characters"),
    "proxy.patient_signature_sha256": Field("参保人签名", "Patient's signature", *_FILE),
    "proxy.purchaser_signature_sha256": Field("代购人签名", "Purchaser's signature", *_FILE),
    "guardian.certificate.type": Field("监护人证件", "Guardian's document", "请选择", "Choose one"),
    "guardian.certificate.number": _NUMBER,
    "guardian.certificate": Field("监护人证件号码", "Guardian's number", "6 至 64 位字母或数字",
                                  "6 to 64 letters or digits"),
    "guardian.name": Field("监护人姓名", "Guardian's name", "1 至 64 个字", "1 to 64 characters"),
    "guardian.relation": Field("与孩子关系", "Relation to the child", "请选择", "Choose one"),
    "guardian.reason": Field("购药原因", "Reason", "1 至 200 个字", "1 to 200 characters"),
    "guardian.patient_signature_sha256": Field("孩子签名（监护人代签）", "For the child", *_FILE),
    "guardian.purchaser_signature_sha256": Field("监护人签名", "Guardian's signature", *_FILE),
    "attestation.pharmacist": Field("药师编号", "Pharmacist", *_CODE),
    "attestation.secret": Field("药师口令", "Pharmacist's secret", "请药师本人输入",
                                "Entered by the pharmacist", hinted=True),
    "attestation.document_type": Field("核对的证件", "Document", "请选择", "Choose one"),
    "prescription.rx_no": Field("处方编号", "Prescription number", *_CODE),
    "prescription.prescriber": Field("处方医师编号", "Prescriber", *_CODE),
    "prescription.source": Field("处方来源", "Source", "请选择", "Choose one"),
    "prescription.valid_until": Field("有效期至（当天有效）", "Valid until (that day included)",
                                      "年-月-日", "A date"),
    "prescription.patient.number": Field("处方患者证件号码", "Patient's number",
                                         "6 至 64 位字母或数字", "6 to 64 letters or digits"),
    "prescription.patient.type": Field("处方患者证件", "Patient's document"),
    "basket.lines": Field("药品", "Medicine", "1 至 60 行", "1 to 60 lines"),
    "basket.lines.name": Field("药品名称", "Medicine", "1 至 64 个字", "1 to 64 characters"),
    "basket.lines.med_list_codg": Field("医保目录编码", "Catalogue code", *_CODE),
    "basket.lines.quantity": Field("数量", "Quantity", "大于 0，最多三位小数",
                                   "More than 0, at most three decimals"),
    "basket.lines.unit_price": Field("单价（元）", "Price (¥)", "最多四位小数",
                                     "At most four decimals"),
    "basket.lines.prescription_required": Field("处方药", "Prescription"),
    "basket.lines.trace_codes": Field("追溯码", "Trace codes",
                                      "每行一个，最多 50 个，只含字母、数字或 _.:/+-",
                                      "One a line, at most 50, of letters, digits or _.:/+-",
                                      hinted=True),
    "settlement.certificate.type": _TYPE,
    "settlement.certificate.number": _NUMBER,
    "settlement.psn_no": Field("人员编号（可不填）", "Person number (optional)",
                               "最多 30 位字母或数字", "At most 30 letters or digits"),
    "report.setl_id": Field("结算流水号", "Settlement number", "1 至 64 个字",
                            "1 to 64 characters"),
}  # fmt: skip


def field_of(form: str, name: str) -> Field:
    """Return a field of a form by its full name, such as lines.0.name. Unknown ones are shown
    as they are called."""
    parts = [part for part in name.split(".") if not part.isdigit()]
    return FIELDS.get(".".join((form, *parts)), Field(name, name))
