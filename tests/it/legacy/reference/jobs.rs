//! Jobs as servers tell of them, and as they might: members missing, repeated, in any order, of any kind.

use super::tree::{Key, SPACINGS, Spacing, Tree, leaf, plain};
use proptest::{prelude::*, sample::select};

fn spacing() -> impl Strategy<Value = Spacing> {
    select(SPACINGS.to_vec())
}

/// A key that spells `name`, now and then with an escape.
fn key(name: &'static str) -> impl Strategy<Value = Key> {
    prop::bool::weighted(0.1).prop_map(move |escaped| {
        let escape = |first: char| format!("\\u{:04x}{}", u32::from(first), &name[first.len_utf8()..]);
        let raw = match (escaped, name.chars().next()) {
            (true, Some(first)) => escape(first),
            _ => name.to_owned(),
        };
        Key {
            raw,
            name: name.to_owned(),
        }
    })
}

/// Members in any order, some of them missing and some repeated.
fn object_of(members: Vec<(&'static str, BoxedStrategy<Tree>)>) -> BoxedStrategy<Tree> {
    let most = members.len();
    let each: Vec<_> = members
        .into_iter()
        .map(|(name, value)| (key(name), value, prop::bool::weighted(0.15)))
        .collect();
    let repeated = prop::collection::vec(any::<prop::sample::Index>(), 0..2);
    let order = any::<u64>();
    (each, repeated, order, spacing())
        .prop_map(move |(each, repeated, order, spacing)| {
            let mut members: Vec<_> = each
                .into_iter()
                .filter(|(_, _, missing)| !missing)
                .map(|(key, value, _)| (key, value))
                .collect();
            for index in repeated {
                if !members.is_empty() {
                    let (key, _) = members[index.index(members.len())].clone();
                    let (_, value) = members[(index.index(members.len()) + 1) % members.len()].clone();
                    members.push((key, value));
                }
            }
            if !members.is_empty() {
                let middle = (order as usize + most) % members.len();
                members.rotate_left(middle);
            }
            Tree::Object(members, spacing)
        })
        .boxed()
}

/// Objects whose keys are among `names`, each as often as it likes.
fn map_of(names: &[&'static str], value: BoxedStrategy<Tree>, most: usize) -> BoxedStrategy<Tree> {
    let key = select(names.to_vec()).prop_flat_map(key);
    (prop::collection::vec((key, value), 0..most), spacing())
        .prop_map(|(members, spacing)| Tree::Object(members, spacing))
        .boxed()
}

fn leaf_of(texts: &[&str]) -> BoxedStrategy<Tree> {
    select(texts.iter().map(|text| leaf(text)).collect::<Vec<_>>()).boxed()
}

fn anything() -> BoxedStrategy<Tree> {
    let leaves = leaf_of(&[
        "null",
        "true",
        "0",
        "-0.0",
        "1e-07",
        "NaN",
        "-Infinity",
        "123456789012345678901234567890",
        r#""""#,
        r#""\ud83d""#,
        r#""a \"quoted\" \\ {word}: [1,2]""#,
        r#""é世😀""#,
    ]);
    let names = ["a", "id", "class_type", "workflow", "extra_pnginfo", "mediaType", "1.2"];
    leaves
        .prop_recursive(3, 12, 3, move |inner| {
            let items = (prop::collection::vec(inner.clone(), 0..3), spacing());
            let lists = items.prop_map(|(items, spacing)| Tree::List(items, spacing));
            prop_oneof![lists, map_of(&names, inner, 3)]
        })
        .boxed()
}

/// Mostly `usual`, now and then whatever.
fn mostly(usual: BoxedStrategy<Tree>) -> BoxedStrategy<Tree> {
    prop_oneof![9 => usual, 1 => anything()].boxed()
}

fn list_of(item: BoxedStrategy<Tree>) -> BoxedStrategy<Tree> {
    (prop::collection::vec(item, 0..4), spacing())
        .prop_map(|(items, spacing)| Tree::List(items, spacing))
        .boxed()
}

const NODES: [&str; 6] = ["1", "2", "10", "5.0.0.2", "7.1", "x"];

fn prompt() -> BoxedStrategy<Tree> {
    let classes = leaf_of(&[r#""Save""#, r#""Preview""#, r#""Load""#, r#""Load""#, r#""Strange""#]);
    let node = object_of(vec![
        ("inputs", anything()),
        ("class_type", mostly(classes)),
        ("_meta", anything()),
    ]);
    mostly(map_of(&NODES, mostly(node), 5))
}

fn extra_data() -> BoxedStrategy<Tree> {
    let keys = leaf_of(&[r#""[REDACTED]""#, r#""[REDACTED]""#, r#""a real key""#, "7"]);
    let image = object_of(vec![("workflow", anything()), ("other", anything())]);
    mostly(object_of(vec![
        ("extra_pnginfo", mostly(image)),
        ("api_key_comfy_org", keys),
        ("client_id", anything()),
        ("comfy_usage_source", anything()),
        ("create_time", anything()),
    ]))
}

fn outputs() -> BoxedStrategy<Tree> {
    let texts = leaf_of(&[r#""a.glb""#, r#""output""#]);
    let file = object_of(vec![
        ("filename", texts.clone()),
        ("type", texts.clone()),
        ("subfolder", texts),
        ("mediaType", leaf_of(&[r#""3d""#, r#""3d""#, r#""images""#])),
    ]);
    let node = map_of(&["images", "3d", "text"], mostly(list_of(mostly(file))), 3);
    mostly(map_of(&NODES, mostly(node), 3))
}

fn time() -> BoxedStrategy<Tree> {
    mostly(leaf_of(&[
        "1795461653499",
        "1795461653",
        "1795461653.5",
        "1.5e12",
        "0",
        "-3",
    ]))
}

fn error() -> BoxedStrategy<Tree> {
    object_of(vec![
        ("node_id", mostly(leaf_of(&[r#""4""#]))),
        ("exception_message", mostly(leaf_of(&[r#""boom\n""#]))),
        ("exception_type", anything()),
        ("traceback", list_of(anything())),
        ("executed", anything()),
        ("current_inputs", anything()),
        ("timestamp", time()),
    ])
}

pub fn job() -> BoxedStrategy<Tree> {
    let workflow = object_of(vec![("prompt", prompt()), ("extra_data", extra_data())]);
    let words = leaf_of(&[r#""completed""#, r#""failed""#, r#""cancelled""#, r#""strange""#]);
    let rest = object_of(vec![
        ("status", mostly(words)),
        ("priority", mostly(leaf_of(&["3", "-1.5"]))),
        ("create_time", time()),
        ("update_time", time()),
        ("execution_start_time", time()),
        ("execution_end_time", time()),
        ("execution_error", prop_oneof![anything(), error()].boxed()),
        ("execution_status", anything()),
        ("execution_meta", anything()),
        ("workflow_id", anything()),
        ("outputs", outputs()),
        ("workflow", mostly(workflow)),
        ("preview_output", anything()),
    ]);
    let absent = prop::collection::btree_set(
        select(vec![
            "execution_status",
            "execution_meta",
            "execution_error",
            "workflow",
        ]),
        0..4,
    );
    (leaf_of(&[r#""an-id""#, r#""\u0061n-id""#, "17"]), rest, absent)
        .prop_map(|(id, rest, absent)| {
            let Tree::Object(members, spacing) = rest else {
                return rest;
            };
            let mut members: Vec<_> = members
                .into_iter()
                .filter(|(key, _)| !absent.contains(key.name.as_str()))
                .collect();
            members.insert(members.len() / 2, (plain("id"), id));
            Tree::Object(members, spacing)
        })
        .boxed()
}

pub fn note() -> BoxedStrategy<Tree> {
    let targets = list_of(mostly(leaf_of(&[r#""1""#, r#""2""#, r#""10""#, r#""5.0.0.2""#])));
    object_of(vec![
        ("prompt", prompt()),
        ("extra_data", extra_data()),
        ("client_id", anything()),
        ("usage_source", anything()),
        ("targets", mostly(targets)),
    ])
}
