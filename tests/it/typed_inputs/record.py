"""Records what Python makes of inputs: `python3 record.py` writes values.json and prompts.json beside itself.

values.json: [type, value as sent, value as queued], both as JSON texts. prompts.json: whole prompts, by a rendition of how
ComfyUI queues them: from the output nodes along the links, each declared input that is no list converted by its type.
"""

import json
import pathlib
import random

HERE = pathlib.Path(__file__).parent
CONVERT = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


def converted(kind, value):
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    try:
        return CONVERT[kind](value) if kind in CONVERT else value
    except Exception:
        return value


VALUES = """
6 6.0 6.7 -6.7 0.5 -0.5 0 -0 0.0 -0.0 1 -1 64 1.50 1e2 1E2 1e+2 1e-7 1E-07 0.0001 0.00001 0.000123 123456789.125 1e15 1e16
123456789012345678 1234567890123456.7 9007199254740993 18446744073709551615 100000000000000000000000000000000000000001
1e22 1e23 1.7976931348623157e308 5e-324 2.2250738585072014e-308 1e400 -1e400 9999999999999998 99999999999999990000.0
3.141592653589793 0.1 0.30000000000000004 1e300 NaN Infinity -Infinity true false null
""".split()
VALUES.append("1" + "0" * 400)
TEXTS = [
    "", " ", "64", " 64 ", "\t-64\n", "+64", "- 64", "--64", "1_000", "1__000", "_1", "1_", "007", "-0", "+0", "0x10", "6.0", "6.",
    ".5", ".", "1e5", "1E-07", "1e", "e5", "1_0.0_1e1_0", "1_.0", "1e_5", "inf", "-Infinity", "nan", "+NaN", "infinit", "1e400",
    "\uff16\uff14", "\u0663.\u0665", "\u096a\u0968", "\U0001d7d8\U0001d7d9", "\u00b2", "\u00a064", "64\u3000", "\x1c64", "\x1c\u00a064",
    "6 4", "6\x004", "true", "False", "None", "caf\u00e9", "it's", "\"quoted\"", "line\nbreak", "\ud83d", "\ud83d\ude00", "\\", "9" * 4300,
    "9" * 4301, "1" + "0" * 400,
]
OBJECTS = [
    "{}", "{ }", '{"a":1}', '{"a": 1, "b": [1.0, 2.50, "x", null, true, false, NaN, -Infinity]}', '{"it\'s": "\\"both\\" \'kinds\'"}',
    '{"\\u00e9\\u0301\\u200b\\ud83d\\ude00": "\\ud83d\\n\\r\\t\\b\\f\\u0000\\u007f\\u0080\\u00a0\\u00ad\\\\\\/"}', '{"x": "\u00e9\u4e16\ue000\U0010ffff"}',
    '{"a": {"b": {"c": {}}}, "d": []}', '{"a":-0,"b":1E5,"c":[ ]}', '{"__value__": [1, 2.0, "x"]}', '{"__value__": 6}',
    '{"__value__": "64"}', '{"__value__": {"__value__": 1}}', '{"__value__": []}', '{"__value__": null}',
    '{"\\u005f_value__": "7", "more": 1}', '{"value": [1, 2]}',
]


def values():
    sent = VALUES + [json.dumps(text) for text in TEXTS] + [json.dumps(text, ensure_ascii=False) for text in ["caf\u00e9"]] + OBJECTS
    for kind in [*CONVERT, "COMBO", "IMAGE"]:
        for text in sent:
            value = json.loads(text)
            queued = converted(kind, value)
            # What is not converted stays as it was sent, whatever Python would write for it.
            same = type(queued) is type(value) and (queued == value or queued != queued) and kind not in ["INT", "FLOAT"]
            failed = kind in ["INT", "FLOAT"] and type(queued) is not CONVERT[kind]
            if isinstance(value, dict) and "__value__" in value and (same or failed or kind in ["COMBO", "IMAGE"]):
                yield kind, text, json.dumps(queued)
            elif same or failed:
                yield kind, text, text
            else:
                yield kind, text, json.dumps(queued)


DECLARED = {
    "Numbers": {"required": {"a": ["INT", {"min": 0}], "b": ["FLOAT", {}]}, "optional": {"c": ["FLOAT"], "a": ["STRING", {}]}},
    "Words": {"required": {"a": ["STRING", {}], "b": [["x", "y"], {}]}, "hidden": {"c": "PROMPT", "d": ["INT"]}},
    "Flags": {"optional": {"a": ["BOOLEAN", {}], "b": ["INT,FLOAT", {}], "c": ["*", {}]}},
    "Save": {"required": {"a": ["IMAGE"], "b": ["IMAGE", {"lazy": True}], "c": ["INT", {"forceInput": True}], "d": ["FLOAT", {}]}},
    "Preview": {"required": {"a": ["IMAGE"], "b": ["FLOAT", {}], "d": ["BOOLEAN"]}},
    "Bare": {},
    "Choice": {"required": {"a": ["COMFY_DYNAMICCOMBO_V3", {"options": [
        {"key": "x", "inputs": {"required": {"n": ["INT", {}], "deep": ["COMFY_DYNAMICCOMBO_V3", {"options": [
            {"key": "y", "inputs": {"optional": {"n": ["FLOAT", {}]}}}]}]}}},
        {"key": "y", "inputs": {"required": {"n": ["STRING", {}]}}}]}], "b": ["INT", {}]}},
    "Slot": {"optional": {"a": ["COMFY_DYNAMICSLOT_V3", {"inputs": {"required": {"n": ["INT", {}]}}}]}},
    "Series": {"required": {"a": ["COMFY_AUTOGROW_V3", {"template": {
        "prefix": "n", "min": 1, "max": 5, "input": {"required": {"n": ["FLOAT", {}]}}}}]}},
    "Rows": {"required": {"a": ["COMFY_DYNAMICGROUP_V3", {"max": 3, "template": {
        "required": {"n": ["INT", {}]}, "optional": {"m": ["STRING", {}]}}}]}},
}
OUTPUTS = ["Save", "Preview"]


def declared(inputs, sent, prefix=""):
    """Input name -> type, with the inputs below others."""
    found = {}
    for section in ["required", "optional"]:
        for name, (kind, *options) in inputs.get(section, {}).items():
            whole, options = prefix + name, options[0] if options else {}
            if isinstance(kind, list):
                found.setdefault(whole, None)
            elif kind == "COMFY_DYNAMICCOMBO_V3":
                for option in options["options"]:
                    if whole in sent and option["key"] == sent[whole]:
                        found.update(declared(option["inputs"], sent, whole + "."))
                        found[whole] = None
            elif kind == "COMFY_DYNAMICSLOT_V3":
                if whole in sent:
                    found.update(declared(options["inputs"], sent, whole + "."))
                    found[whole] = None
            elif kind == "COMFY_AUTOGROW_V3":
                for name in sent:
                    if name.startswith(whole + ".") and "." not in name[len(whole) + 1 :]:
                        found[name] = options["template"]["input"]["required"]["n"][0]
            elif kind == "COMFY_DYNAMICGROUP_V3":
                for row in range(options["max"]):
                    for field, about in (options["template"]["required"] | options["template"]["optional"]).items():
                        found[f"{whole}.{row}.{field}"] = about[0]
            else:
                found.setdefault(whole, kind)
    return found


def queue(prompt, targets):
    visit = [id for id, node in prompt.items() if node["class_type"] in OUTPUTS and (targets is None or id in targets)]
    visited = set()
    while visit:
        id = visit.pop()
        if id in visited or id not in prompt:
            continue
        visited.add(id)
        inputs = prompt[id]["inputs"]
        for name, kind in declared(DECLARED[prompt[id]["class_type"]], dict(inputs)).items():
            if name not in inputs:
                continue
            if isinstance(inputs[name], list):
                visit += inputs[name][:1] if len(inputs[name]) == 2 else []
            else:
                inputs[name] = converted(kind, inputs[name])


def prompts(chance, count):
    plain = [text for text in VALUES if text not in ["1e400", "-1e400", "-0", "NaN"] and len(text) < 50]
    leaves = [json.loads(text) for text in plain + OBJECTS[:4] + OBJECTS[9:]] + TEXTS[:30] + ["x", "y"] * 10
    ids = ["1", "2", "3", "4", "5", "8", "9", "10:3", "Save.0"]
    names = ["a", "b", "c", "d", "a.n", "a.n0", "a.n1", "a.deep", "a.deep.n", "a.0.n", "a.1.m"]
    for _ in range(count):
        prompt = {}
        for id in chance.sample(ids, chance.randint(3, len(ids))):
            inputs = {}
            for name in chance.sample(names, chance.randint(2, 8)):
                link = [chance.choice(ids), chance.randint(0, 2)]
                inputs[name] = link if chance.random() < 0.4 else chance.choice(leaves)
            if chance.random() < 0.05:
                inputs["a"] = ["1", 0, "no link"]
            prompt[id] = {"inputs": inputs, "class_type": chance.choice(list(DECLARED) + OUTPUTS * 2), "_meta": {"title": "6"}}
        targets = chance.sample(ids, 3) if chance.random() < 0.2 else None
        sent = json.dumps(prompt)
        queued = json.loads(sent)
        queue(queued, targets)
        yield {"sent": sent, "targets": targets, "queued": json.dumps(queued)}


if __name__ == "__main__":
    text = ",\n".join(json.dumps(case) for case in values())
    (HERE / "values.json").write_text(f"[\n{text}\n]\n")
    classes = json.dumps({name: {"input": inputs, "output_node": name in OUTPUTS} for name, inputs in DECLARED.items()})
    text = ",\n".join(json.dumps(case) for case in prompts(random.Random(64), 120))
    (HERE / "prompts.json").write_text(f'{{"classes": {classes},\n"prompts": [\n{text}\n]}}\n')
