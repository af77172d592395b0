"""The NHSA interface over HTTP: envelope, 2102 (settle at a pharmacy) and 2601 (reverse).

Rebuilt from public material; field names keep the interface's own spelling. The public
interface wants `psn_no` in 2601 too, but the node keeps no number in clear, so a reversal names
only the original message. No claim of certification is made.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from datetime import timedelta, timezone
from typing import Annotated, Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.platform.port import (
    Rejected,
    Reversed,
    ReverseRequest,
    Settled,
    SettlementUnknown,
    SettleRequest,
)
from edge.session.basket import amount_of
from retention.records.clock import Clock
from retention.records.errors import UsageError

CHINA = timezone(timedelta(hours=8))
CALL_PATH = "/mbs/fmi/fsi/api/callFsiService/callService"
MAX_ANSWER_BYTES = 256 * 1024
NOTHING_HELD = "2601-NOT-HELD"


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Envelope(_Wire):
    """The request around every transaction."""

    infno: Literal["2102", "2601"]
    msgid: Annotated[str, Field(min_length=30, max_length=30)]
    mdtrtarea_admvs: Annotated[str, Field(max_length=6)]
    insuplc_admdvs: Annotated[str, Field(max_length=6)]
    recer_sys_code: Annotated[str, Field(max_length=10)] = "COUNTERSGT"
    signtype: Annotated[str, Field(max_length=10)] = ""
    infver: Annotated[str, Field(max_length=6)] = "V1.0"
    opter_type: Annotated[str, Field(max_length=3)] = "1"
    opter: Annotated[str, Field(max_length=30)]
    opter_name: Annotated[str, Field(max_length=50)]
    inf_time: Annotated[str, Field(max_length=19)]
    fixmedins_code: Annotated[str, Field(max_length=12)]
    fixmedins_name: Annotated[str, Field(max_length=200)]
    input: dict[str, Any]


class DrugInfo(_Wire):
    psn_no: str
    mdtrt_cert_type: str
    mdtrt_cert_no: str
    begntime: str
    medfee_sumamt: str
    invono: str
    expContent: str  # noqa: N815 - the interface's own spelling


class DrugDetail(_Wire):
    feedetl_sn: str
    rxno: str
    fee_ocur_time: str
    med_list_codg: str
    det_item_fee_sumamt: str
    cnt: str
    pric: str


class ReverseData(_Wire):
    omsgid: str
    oinfno: Literal["2102"]


class Answer(BaseModel):
    """The response envelope; a platform may add fields, so these are ignored, not refused."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    infcode: int
    err_msg: Annotated[str, Field(max_length=2000)] = ""
    output: dict[str, Any] | None = None


class SetlInfo(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    setl_id: Annotated[str, Field(min_length=1, max_length=64)]


class NhsaPlatform:
    """A platform at an address. One message a call, never a second try.

    Raises UsageError when made with something that is no http(s) address.
    """

    def __init__(
        self, url: str, *, institution: str, area: str, timeout_seconds: float, clock: Clock
    ) -> None:
        self._url = _checked(url).rstrip("/") + CALL_PATH
        self._institution = institution[:12].ljust(12, "0")
        self._area = area[:6]
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._sequence = secrets.randbelow(10_000)
        self._lock = threading.Lock()

    def new_msgid(self) -> str:
        """Return institution (12), local time (14) and a running number (4)."""
        with self._lock:
            self._sequence = (self._sequence + 1) % 10_000
            return f"{self._institution}{self._now('%Y%m%d%H%M%S')}{self._sequence:04d}"

    def settle(self, request: SettleRequest) -> Settled | Rejected:
        """Send 2102 once. Raises SettlementUnknown."""
        answer = self._call(self._settle_envelope(request))
        if isinstance(answer, Rejected):
            return answer
        if answer.infcode != 0:
            person = request.person
            return Rejected(_reason(answer, person.mdtrt_cert_no, person.psn_no))
        try:
            found = SetlInfo.model_validate((answer.output or {}).get("setlinfo"))
        except ValidationError as exc:
            raise SettlementUnknown("2102: success without a setl_id") from exc
        return Settled(found.setl_id)

    def reverse(self, request: ReverseRequest) -> Reversed | Rejected:
        """Send 2601 once. Raises SettlementUnknown."""
        data = ReverseData(omsgid=request.original_msgid, oinfno="2102")
        answer = self._call(
            self._envelope(
                "2601", request.msgid, request.insuplc_admdvs, request.operator,
                {"data": data.model_dump()},
            )
        )  # fmt: skip
        if isinstance(answer, Rejected):
            return answer
        if answer.infcode == 0:
            return Reversed("reversed")
        if answer.err_msg.startswith(NOTHING_HELD):
            return Reversed("the platform held nothing")
        return Rejected(_reason(answer))

    def _call(self, envelope: Envelope) -> Answer | Rejected:
        """Send one message. What was certainly never sent is Rejected; all else is unknown."""
        try:
            return Answer.model_validate_json(self._post(envelope))
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return Rejected("the platform could not be reached; nothing was sent")
        except httpx.HTTPError as exc:
            raise SettlementUnknown(f"{envelope.infno}: {type(exc).__name__}") from exc
        except ValidationError as exc:
            raise SettlementUnknown(f"{envelope.infno}: an answer that cannot be read") from exc

    def _post(self, envelope: Envelope) -> bytes:
        """Return the answer's body; both its size and the whole exchange are bounded."""
        deadline = time.monotonic() + self._timeout_seconds
        body = bytearray()
        with (
            httpx.Client(timeout=self._timeout_seconds, trust_env=False) as client,
            client.stream("POST", self._url, json=envelope.model_dump()) as response,
        ):
            response.raise_for_status()
            for part in response.iter_bytes():
                body += part
                if len(body) > MAX_ANSWER_BYTES or time.monotonic() > deadline:
                    raise SettlementUnknown(f"{envelope.infno}: an answer too long or too slow")
        return bytes(body)

    def _settle_envelope(self, request: SettleRequest) -> Envelope:
        now = self._now("%Y-%m-%d %H:%M:%S")
        info = DrugInfo(
            psn_no=request.person.psn_no,
            mdtrt_cert_type=request.person.mdtrt_cert_type,
            mdtrt_cert_no=request.person.mdtrt_cert_no,
            begntime=now,
            medfee_sumamt=request.total,
            invono=request.session,
            expContent=request.idempotency_key,
        )
        details = [
            DrugDetail(
                feedetl_sn=f"{request.msgid}{line.line:03d}",
                rxno=request.rx_no or "",
                fee_ocur_time=now,
                med_list_codg=line.med_list_codg,
                det_item_fee_sumamt=str(amount_of(line)),
                cnt=line.quantity,
                pric=line.unit_price,
            ).model_dump()
            for line in request.lines
        ]
        body = {"druginfo": info.model_dump(), "drugdetail": details}
        return self._envelope("2102", request.msgid, request.insuplc_admdvs, request.operator, body)

    def _envelope(
        self,
        infno: Literal["2102", "2601"],
        msgid: str,
        insured_area: str,
        operator: str,
        body: dict[str, Any],
    ) -> Envelope:
        return Envelope(
            infno=infno,
            msgid=msgid,
            mdtrtarea_admvs=self._area,
            insuplc_admdvs=insured_area,
            opter=operator[:30],
            opter_name=operator[:50],
            inf_time=self._now("%Y-%m-%d %H:%M:%S"),
            fixmedins_code=self._institution,
            fixmedins_name=self._institution,
            input=body,
        )

    def _now(self, pattern: str) -> str:
        return self._clock.now().astimezone(CHINA).strftime(pattern)


def _reason(answer: Answer, *numbers: str) -> str:
    """Return the platform's words without the numbers of people in them: they are kept and sent."""
    said = answer.err_msg
    for number in filter(None, numbers):
        said = re.sub(re.escape(number), "…", said, flags=re.IGNORECASE)
    return f"{answer.infcode}: {re.sub(r'[0-9]{6,}[Xx]?', '…', said)}"[:200]


def _checked(url: str) -> str:
    """Return the address. A wrong one must not wait for the first settlement to be found."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as exc:
        raise UsageError(f"settlement.platform_url: {url[:200]!r}: {exc}") from exc
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageError(f"settlement.platform_url: {url[:200]!r}: wanted is http(s)://host")
    return url
