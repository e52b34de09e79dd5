"""A model provider on loopback that does what the prompt says: for tests with the real agent programs.

It speaks the Anthropic Messages API and the OpenAI Responses API, each with server-sent events.  A prompt
carries its own script, so that one server serves any number of agents at once:

    [[do: [STEP, ...]]]      the steps of a run that works
    [[answer: {...}]]        the answer where a structured one is asked for

Steps are taken one after another, one for each request that the program makes; a fault is not counted as
one.  Where a prompt holds several scripts the last one counts (a prompt may quote another one before its
own); scripts inside a script's strings are left alone.  Among answers the last one counts that has the keys
which the schema requires; one with "when" (a regular expression) only where that is found in the prompt.

    {"say": "text"}                              a message; without calls it ends the run
    {"write": ["a.txt", "text"]}                 write a file          ) any of these together make one
    {"edit": ["a.txt", "old", "new"]}            change a file         ) message; several of a kind:
    {"read": "a.txt"}, {"run": "make test"}      look, run a command   ) {"calls": [{...}, {...}]}
    {"answer": {...}}                            a structured answer
    {"status": 429, "error": {...}, "headers": {...}, "times": 2}      an HTTP error (times: for ever)
    {"fail": {"type": "...", "message": "..."}}  an error inside the stream
    {"hang": "before" | "within"}                silence until the program goes away
    {"drop": true}                               the connection breaks inside the stream

Any step may have "usage": {"in": 1000, "cached": 0, "out": 50} and "stop" (Anthropic's stop reason).  It
may be for some requests only: "when" and "until" (regular expressions) where that is found in the prompt, or
is not; "api" ("messages" or "responses") for one of the two.

Prompts without a script are answered by `replies`: the steps of the first pattern that is found in them.
"""

from __future__ import annotations

import gzip
import json
import re
import select
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Json = dict[str, Any]
_MARKER = re.compile(r"\[\[(do|answer):\s*")
_DIRECTORY = re.compile(r"(?:[Ww]orking directory: |<cwd>)([^\s<]+)")
_USAGE = {"in": 1000, "cached": 0, "out": 50}
_CALLS = ("write", "edit", "read", "run")


@dataclass(frozen=True)
class Request:
    """One request as it came: path, header names in lower case, the JSON body."""

    path: str
    headers: Mapping[str, str]
    body: Json


@dataclass(frozen=True)
class Turn:
    """What a request asks for, whatever the API: its texts and how many rounds of answers came since."""

    api: str  # messages or responses
    script: str  # the text that holds the script; without one, all that the user said
    rounds: int
    directory: str
    tools: frozenset[str]
    required: frozenset[str] | None  # keys of the schema; None: no structured answer is asked for


@dataclass
class StubApi:
    """The server; `with StubApi() as api:` runs it on a free port."""

    requests: list[Request] = field(default_factory=list)
    served: dict[tuple[str, int], int] = field(default_factory=dict)  # faults with `times`
    replies: list[tuple[str, list[Json]]] = field(default_factory=list)  # pattern, steps

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> StubApi:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Without /v1: what ANTHROPIC_BASE_URL wants."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def claude_environ(self) -> dict[str, str]:
        return {"ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": "stub", "CLAUDE_CODE_MAX_RETRIES": "1"}

    def codex_settings(self) -> tuple[str, ...]:
        """`-c` settings; the key comes from the variable STUB_API_KEY."""
        return (
            'model_provider="stub"',
            'model_providers.stub.name="stub"',
            f'model_providers.stub.base_url="{self.url}/v1"',
            'model_providers.stub.env_key="STUB_API_KEY"',
            'model_providers.stub.wire_api="responses"',
            "model_providers.stub.request_max_retries=1",
            "model_providers.stub.stream_max_retries=1",
        )

    def prompts(self, path: str) -> list[str]:
        """Everything that was sent to one of the APIs, as text."""
        return [json.dumps(request.body) for request in self.requests if path in request.path]

    def step(self, turn: Turn) -> Json:
        """What to answer now."""
        found = scripts(turn.script)
        if turn.required is not None:
            answers = [value for kind, value in found if kind == "answer" and turn.required <= set(value)]
            fit = [answer for answer in answers if re.search(answer.get("when", ""), turn.script)]
            if fit:
                return {"answer": {key: value for key, value in fit[-1].items() if key != "when"}}
        replies = (given for pattern, given in self.replies if re.search(pattern, turn.script))
        steps: list[Json] = next((value for kind, value in reversed(found) if kind == "do"), None) or next(
            replies, []
        )
        steps = [step for step in steps if is_for(step, turn)]
        rounds = turn.rounds
        for number, step in enumerate(steps):
            if is_fault(step):
                if self._still_served(json.dumps(steps), number, step):
                    return dict(step)
            elif rounds:
                rounds -= 1
            else:
                return dict(step)
        return {"say": "Done."}

    def _still_served(self, steps: str, number: int, step: Mapping[str, Any]) -> bool:
        if "times" not in step:
            return True
        with self.lock:
            before = self.served.get((steps, number), 0)
            self.served[steps, number] = before + 1
        return before < int(step["times"])


def is_fault(step: Mapping[str, Any]) -> bool:
    return any(key in step for key in ("status", "fail", "hang", "drop"))


def is_for(step: Mapping[str, Any], turn: Turn) -> bool:
    until = step.get("until")
    return (
        step.get("api", turn.api) == turn.api
        and re.search(step.get("when", ""), turn.script) is not None
        and (until is None or re.search(until, turn.script) is None)
    )


def scripts(text: str) -> list[tuple[str, Any]]:
    """(do | answer, value) of each marker in a text, in order; broken ones are not there."""
    found, position = [], 0
    while match := _MARKER.search(text, position):
        position = match.end()
        try:
            value, end = json.JSONDecoder().raw_decode(text, position)
        except ValueError:
            continue
        if text.startswith("]]", end) and isinstance(value, list if match[1] == "do" else dict):
            found.append((match[1], value))
            position = end
    return found


def usage_of(step: Mapping[str, Any]) -> Mapping[str, int]:
    return {**_USAGE, **step.get("usage", {})}


def calls_of(step: Mapping[str, Any]) -> list[tuple[str, Any]]:
    calls = step.get("calls", [step])
    return [(kind, call[kind]) for call in calls for kind in _CALLS if kind in call]


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:16]}"


def text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block.get("text") or "" for block in content or [] if isinstance(block, dict))


def turn_of(
    api: str, messages: Sequence[tuple[str, str]], context: str, tools: frozenset[str], schema: Any
) -> Turn:
    """From (role, text) of a conversation: the last text with a script, and the answers after it."""
    last = max((i for i, (role, text) in enumerate(messages) if role == "user" and scripts(text)), default=-1)
    rounds = sum(role == "assistant" for role, _ in messages[last + 1 :])
    places = _DIRECTORY.findall(context + "\n".join(text for _, text in messages))
    required = None if schema is None else frozenset(schema.get("required", ()))
    said = "\n".join(text for role, text in messages if role == "user")
    script = messages[last][1] if last >= 0 else said
    return Turn(api, script, rounds, places[-1] if places else ".", tools, required)


# -- Anthropic ----------------------------------------------------------------------------------------


def anthropic_turn(body: Json) -> Turn:
    messages = [(message["role"], text_of(message["content"])) for message in body.get("messages", [])]
    tools = {tool["name"]: tool for tool in body.get("tools", [])}
    asked = tools.get("StructuredOutput")
    schema = asked["input_schema"] if asked else None
    return turn_of("messages", messages, text_of(body.get("system")), frozenset(tools), schema)


def anthropic_content(step: Json, turn: Turn) -> list[Json]:
    content: list[Json] = [{"type": "text", "text": step["say"]}] if "say" in step else []
    if "answer" in step:
        content.append(anthropic_call("StructuredOutput", step["answer"]))
    for kind, given in calls_of(step):
        content.append(anthropic_tool(kind, given, turn.directory))
    return content or [{"type": "text", "text": "Done."}]


def anthropic_tool(kind: str, given: Any, directory: str) -> Json:
    if kind == "run":
        return anthropic_call("Bash", {"command": given, "description": "as the prompt says"})
    name, *texts = [given] if isinstance(given, str) else given
    path = name if name.startswith("/") else f"{directory}/{name}"
    if kind == "read":
        return anthropic_call("Read", {"file_path": path})
    if kind == "write":
        return anthropic_call("Write", {"file_path": path, "content": texts[0]})
    return anthropic_call("Edit", {"file_path": path, "old_string": texts[0], "new_string": texts[1]})


def anthropic_call(name: str, arguments: Any) -> Json:
    return {"type": "tool_use", "id": new_id("toolu"), "name": name, "input": arguments}


def anthropic_message(step: Json, turn: Turn, model: str) -> Json:
    content = anthropic_content(step, turn)
    stop = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
    used = usage_of(step)
    return {
        "id": new_id("msg"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": step.get("stop", stop),
        "stop_sequence": None,
        "usage": {
            "input_tokens": used["in"] - used["cached"],
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": used["cached"],
            "output_tokens": used["out"],
        },
    }


def anthropic_events(message: Json) -> Iterator[Json]:
    begun: Json = {"stop_reason": None, "content": [], "usage": {**message["usage"], "output_tokens": 1}}
    yield {"type": "message_start", "message": {**message, **begun}}
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            start: Json = {"type": "text", "text": ""}
            delta: Json = {"type": "text_delta", "text": block["text"]}
        else:
            start = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield {"type": "content_block_start", "index": index, "content_block": start}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": message["usage"]}
    yield {"type": "message_stop"}


# -- OpenAI -------------------------------------------------------------------------------------------


def openai_turn(body: Json) -> Turn:
    messages: list[tuple[str, str]] = []
    tools = {tool.get("name", tool["type"]) for tool in body.get("tools", [])}
    for item in body.get("input", []):
        kind = item.get("type", "message")
        if kind == "message":
            messages.append((item["role"], text_of(item["content"])))
        elif kind.endswith("_call") and (not messages or messages[-1][0] != "assistant"):
            messages.append(("assistant", ""))
        elif kind.endswith("_output"):
            messages.append(("tool", ""))
        elif kind == "additional_tools":
            tools |= {tool["name"] for group in item["tools"] for tool in group.get("tools", [group])}
    asked = body.get("text", {}).get("format", {})
    return turn_of("responses", messages, body.get("instructions", ""), frozenset(tools), asked.get("schema"))


def openai_output(step: Json, turn: Turn) -> list[Json]:
    output: list[Json] = []
    said = step.get("say") if "answer" not in step else json.dumps(step["answer"])
    calls = calls_of(step)
    if said is not None or not calls:
        content: list[Json] = [{"type": "output_text", "text": said or "Done.", "annotations": []}]
        message = {"id": new_id("msg"), "type": "message", "role": "assistant", "status": "completed"}
        output.append({**message, "content": content})
    return output + [openai_call(kind, given, turn.tools) for kind, given in calls]


def openai_call(kind: str, given: Any, tools: frozenset[str]) -> Json:
    """Models are offered different tools: JavaScript, a patch tool and a command tool, or that alone."""
    code = "exec" in tools and "exec_command" not in tools
    if kind in ("write", "edit"):
        patch = openai_patch(kind, given)
        if code:
            return openai_custom("exec", f"text(await tools.apply_patch({json.dumps(patch)}));")
        if "apply_patch" in tools:
            return openai_custom("apply_patch", patch)
        command = f"apply_patch <<'END_OF_PATCH'\n{patch}\nEND_OF_PATCH"
    else:
        command = given if kind == "run" else f"cat '{given}'"
    if code:
        return openai_custom("exec", f"text(await tools.exec_command({json.dumps({'cmd': command})}));")
    arguments = json.dumps({"cmd": command})
    ids = {"id": new_id("fc"), "call_id": new_id("call"), "status": "completed"}
    return {"type": "function_call", "name": "exec_command", "arguments": arguments, **ids}


def openai_custom(name: str, text: str) -> Json:
    ids = {"id": new_id("ctc"), "call_id": new_id("call"), "status": "completed"}
    return {"type": "custom_tool_call", "name": name, "input": text, **ids}


def openai_patch(kind: str, given: Sequence[str]) -> str:
    def marked(mark: str, text: str) -> str:
        return "".join(f"{mark}{line}\n" for line in text.splitlines())

    if kind == "write":
        change = f"*** Add File: {given[0]}\n{marked('+', given[1])}"
    else:
        change = f"*** Update File: {given[0]}\n@@\n{marked('-', given[1])}{marked('+', given[2])}"
    return f"*** Begin Patch\n{change}*** End Patch"


def openai_response(step: Json, turn: Turn, model: str) -> Json:
    used = usage_of(step)
    return {
        "id": new_id("resp"),
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": model,
        "output": openai_output(step, turn),
        "usage": {
            "input_tokens": used["in"],
            "input_tokens_details": {"cached_tokens": used["cached"]},
            "output_tokens": used["out"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": used["in"] + used["out"],
        },
    }


def openai_events(response: Json) -> Iterator[Json]:
    begun: Json = {**response, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    for index, item in enumerate(response["output"]):
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        if item["type"] == "message":
            place = {"item_id": item["id"], "output_index": index, "content_index": 0}
            yield {"type": "response.output_text.delta", **place, "delta": item["content"][0]["text"]}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": response}


# -- HTTP ---------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    api: StubApi


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("content-encoding") == "gzip":
            raw = gzip.decompress(raw)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.path, headers, json.loads(raw or b"{}"))
        with self.server.api.lock:
            self.server.api.requests.append(request)
        path = self.path.partition("?")[0]
        try:
            if path.endswith("/messages"):
                self._anthropic(request.body)
            elif path.endswith("/responses"):
                self._openai(request.body)
            else:
                self._json(404, {"type": "error", "error": {"type": "not_found_error", "message": path}})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _anthropic(self, body: Json) -> None:
        turn = anthropic_turn(body)
        step = self.server.api.step(turn)
        fail = {"type": "error", "error": step.get("fail")}
        if self._fault(step, {"type": "error", "error": step.get("error")}):
            return
        message = anthropic_message(step, turn, str(body.get("model")))
        if body.get("stream"):
            self._stream(step, anthropic_events(message), fail)
        elif "fail" in step:  # a broken stream is asked for once more without one
            self._json(529, fail)
        elif "drop" in step or "hang" in step:
            self._go_away(step)
        else:
            self._json(200, message)

    def _openai(self, body: Json) -> None:
        turn = openai_turn(body)
        step = self.server.api.step(turn)
        if self._fault(step, {"error": step.get("error")}):
            return
        response = openai_response(step, turn, str(body.get("model")))
        failed = {**response, "status": "failed", "output": [], "error": step.get("fail")}
        self._stream(step, openai_events(response), {"type": "response.failed", "response": failed})

    def _fault(self, step: Json, error: Json) -> bool:
        """Faults before an answer begins."""
        if "status" in step:
            self._json(step["status"], error, step.get("headers"))
            return True
        if step.get("hang") == "before":
            self._go_away(step)
            return True
        return False

    def _stream(self, step: Json, events: Iterator[Json], failure: Json) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        for number, event in enumerate(events):
            self._event(event)
            if number == 0 and "fail" in step:
                return self._event(failure)
            if number == 0 and ("drop" in step or "hang" in step):
                return self._go_away(step)
        return None

    def _event(self, event: Json) -> None:
        self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def _go_away(self, step: Json) -> None:
        """Close the connection; after a `hang`, when the program has closed its end."""
        self.close_connection = True
        while "hang" in step and not self.server.api.closing.is_set():
            if select.select([self.connection], [], [], 0.05)[0]:
                return

    def _json(self, status: int, body: Json, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, str(value))
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
