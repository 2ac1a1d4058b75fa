"""One visitor's connection: sends what a browser would, and learns what is on the page."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

MOST = 64 * 2**20  # bytes of one message
EVENTS = "$$STREAMLIT_INTERNAL_KEY_{id}__events"  # what a component's triggers are sent as
FINISHED = (
    ForwardMsg.ScriptFinishedStatus.FINISHED_SUCCESSFULLY,
    ForwardMsg.ScriptFinishedStatus.FINISHED_FRAGMENT_RUN_SUCCESSFULLY,
)
CONTROLS = ("slider", "number_input", "selectbox", "radio", "checkbox", "button_group")


@dataclass
class Control:
    """Something on the page that a visitor may change.

    Attributes
    ----------
    kind, proto
        Which element it is, and all that the server said of it.
    fragment
        The part of the page that alone runs anew, or nothing for all of it.
    """

    kind: str
    proto: Any
    fragment: str = ""

    @property
    def key(self) -> str:
        """Its key in the page's code, with which its id ends; an unnamed one has none."""
        key = str(self.proto.id).rsplit("-", 1)[-1]
        return "" if key == "None" else key


@dataclass
class Answer:
    """What came back for one change.

    Attributes
    ----------
    seconds
        Until the page was complete.
    first_sign
        Seconds until the page said how far it is or who is before it; None if it did not have to.
    n_bytes, errors
        What was received, and texts of errors on the page.
    control
        Key of the control that was changed, if any was.
    """

    seconds: float = 0.0
    first_sign: float | None = None
    n_bytes: int = 0
    errors: list[str] = field(default_factory=list)
    control: str = ""

    def felt(self) -> float:
        """Seconds after which the visitor sees that something happens."""
        return self.seconds if self.first_sign is None else self.first_sign


class Visitor:
    """A tab.

    Parameters
    ----------
    host
        Of the server, with its port.
    page
        Address of the page, with its settings.

    Attributes
    ----------
    controls
        What can be changed, by its id.
    components
        Data of each component, by its id, and the part of the page that it is in.
    texts
        What the page says as Markdown, html or an alert.
    latest
        The answer to the last change as far as it came, for one who does not wait for its end.
    """

    def __init__(self, host: str, page: str = "") -> None:
        self._host = host
        self._path, _, self._query = page.partition("?")
        self._states: dict[str, WidgetState] = {}
        self._script = ""
        self._socket: ClientConnection | None = None
        self.controls: dict[str, Control] = {}
        self.components: dict[str, tuple[dict[str, Any], str]] = {}
        self.texts: list[str] = []
        self.latest = Answer()

    async def __aenter__(self) -> Visitor:
        self._socket = await connect(
            f"ws://{self._host}/_stcore/stream",
            subprotocols=cast(Any, ["streamlit"]),
            max_size=MOST,
            compression=None,
            open_timeout=60,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def open(self) -> Answer:
        """Ask for the page for the first time."""
        return await self._run("", {})

    async def change(self, control: Control, value: Any) -> Answer:
        """Set a control, and wait for the page."""
        state = WidgetState(id=control.proto.id)
        if control.kind == "slider":
            if control.proto.options:
                state.string_array_value.data[:] = value
            else:
                state.double_array_value.data[:] = value
        elif control.kind == "number_input":
            state.double_value = value
        elif control.kind == "checkbox":
            state.bool_value = value
        elif control.kind == "button_group":
            state.string_array_value.data[:] = value
        else:
            state.string_value = value
        self._write_address(control, value)
        answer = await self.send(state, control.fragment)
        answer.control = control.key
        return answer

    async def send(self, state: WidgetState, fragment: str = "") -> Answer:
        """Send the state of a control as it is, whether or not the control has such values."""
        self._states[state.id] = state
        return await self._run(fragment, {})

    def _write_address(self, control: Control, value: Any) -> None:
        """Put a control's value into the address, as a browser does."""
        name = control.proto.query_param_key
        if name:
            values = value if isinstance(value, list) else [value]
            pairs = [(k, v) for k, v in parse_qsl(self._query) if k != name]
            self._query = urlencode([*pairs, *((name, _text(one)) for one in values)])

    async def press(self, button: str, fragment: str = "") -> Answer:
        """Press a button by its id."""
        return await self._run(fragment, {button: WidgetState(id=button, trigger_value=True)})

    async def trigger(self, component: str, event: str, value: Any) -> Answer:
        """Send a component's wish, and wait for its answer."""
        _, fragment = self.components[component]
        name = EVENTS.format(id=component)
        sent = json.dumps([{"event": event, "value": value}])
        return await self._run(fragment, {name: WidgetState(id=name, json_trigger_value=sent)})

    async def _run(self, fragment: str, triggers: Mapping[str, WidgetState]) -> Answer:
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_script_hash = self._query, self._script
        state.page_name = "" if self._script else self._path
        state.fragment_id = fragment
        state.context_info.url = f"http://{self._host}/{self._path}"
        state.context_info.color_scheme = "light"
        state.widget_states.widgets.extend([*self._states.values(), *triggers.values()])
        assert self._socket is not None
        start = time.perf_counter()
        await self._socket.send(message.SerializeToString())
        answer = self.latest = Answer()
        while True:
            raw = await self._socket.recv(decode=False)
            answer.n_bytes += len(raw)
            if self._take(ForwardMsg.FromString(raw), fragment, answer, start):
                answer.seconds = time.perf_counter() - start
                return answer

    def _take(self, message: ForwardMsg, fragment: str, answer: Answer, start: float) -> bool:
        """Learn from one message; True if it ends the run."""
        kind = message.WhichOneof("type")
        if kind == "new_session":
            if not fragment:
                self.controls, self.components, self.texts = {}, {}, []
        elif kind == "navigation":
            self._script = message.navigation.page_script_hash
        elif kind == "page_info_changed":
            self._query = message.page_info_changed.query_string
        elif kind == "script_finished":
            return message.script_finished in FINISHED
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element, where = message.delta.new_element, message.delta.fragment_id
            self._learn(element.WhichOneof("type") or "", element, where, answer, start)
        return False

    def _learn(self, kind: str, element: Any, where: str, answer: Answer, start: float) -> None:
        proto: Any = getattr(element, kind, None)
        if kind in CONTROLS:
            if not (proto.disabled or getattr(proto, "form_id", "")):
                self.controls[proto.id] = Control(kind, proto, where)
        elif kind == "button":
            self.controls[proto.id] = Control(kind, proto, where)
        elif kind == "bidi_component":
            self.components[proto.id] = _data_of(proto), where
        elif kind == "exception":
            answer.errors.append(f"{proto.type}: {proto.message}")
        elif kind in ("markdown", "html", "alert"):
            self.texts.append(proto.body)
            if kind == "markdown" and "in the queue" in proto.body and answer.first_sign is None:
                answer.first_sign = time.perf_counter() - start
        elif kind in ("progress", "spinner") and answer.first_sign is None:
            answer.first_sign = time.perf_counter() - start


def _text(value: Any) -> str:
    """A value as it stands in an address; words are left as they are."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _data_of(proto: Any) -> dict[str, Any]:
    text = proto.json or proto.mixed.json
    try:
        data = json.loads(text) if text else {}
    except json.JSONDecodeError:
        return {}
    return data if isinstance(data, dict) else {}
