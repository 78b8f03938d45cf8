//! What a node class says of its inputs: which there are, and which types the server turns their values into before it
//! queues a prompt.

use super::json::{MemberPath, ScanError, decode, elements, key_is, members, string_value};
use serde::Deserialize;
use std::collections::{BTreeMap, btree_map::Entry};

/// How much is remembered of one class, in bytes: far more than the inputs of any class take. What says more is not known.
const MAX_BYTES: usize = 1 << 20;
/// What an input costs besides its name.
const INPUT_BYTES: usize = 64;
/// How many inputs may lie below each other.
const MAX_LEVELS: usize = 8;

/// The words of a class's description, as a dialect table writes them: inputs by name, each `[type, options]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputNames {
    /// The member of the description that holds the inputs.
    pub at: MemberPath,
    /// Its own members that do, the first with an input of some name counting.
    pub sections: Vec<MemberPath>,
    /// The type of values that become integers.
    pub integer: String,
    /// The type of values that become fractions.
    pub float: String,
    /// The type of values that become texts.
    pub text: String,
    /// The type of values that become true or false.
    pub boolean: String,
    /// Inputs with inputs below them, which are named like `mode.width`, those of the option that is chosen.
    pub choice: Option<ChoiceNames>,
    /// The same, those of every option, where the input itself is sent.
    pub slot: Option<NestedNames>,
    /// As many inputs of one type as are sent, named like `images.image0`.
    pub series: Option<NestedNames>,
    /// The same inputs row after row, named like `rows.0.width`.
    pub rows: Option<NestedNames>,
}

/// Inputs whose type is `type`, which have inputs below them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NestedNames {
    /// The type.
    pub r#type: String,
    /// The member of the options that holds the inputs below.
    pub inputs: MemberPath,
}

/// Inputs whose type is `type`, which offer options with inputs of their own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceNames {
    /// The type.
    pub r#type: String,
    /// The member of the options that lists what can be chosen.
    pub options: MemberPath,
    /// The member of such an option that is the value it is chosen by.
    pub key: MemberPath,
    /// The member of such an option that holds its inputs.
    pub inputs: MemberPath,
}

/// What the server turns a value into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// An integer.
    Integer,
    /// A fraction.
    Float,
    /// A text.
    Text,
    /// True or false.
    Boolean,
}

/// The inputs of a node class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassInputs {
    inputs: Inputs,
    bytes: usize,
}

/// Inputs by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Inputs(BTreeMap<Box<str>, Input>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Input {
    /// `None`: its values stay as they are.
    Value(Option<ValueType>),
    Choice(Vec<(Box<str>, Inputs)>),
    Slot(Inputs),
    Series(Option<ValueType>),
    Rows(Inputs),
}

/// Reads descriptions, and counts what they take.
struct Reader<'a> {
    names: &'a InputNames,
    bytes: usize,
}

impl ClassInputs {
    /// Reads a class's description; `None` where it says nothing of inputs, or more than can be remembered.
    pub fn read(description: &[u8], names: &InputNames) -> Result<Option<Self>, ScanError> {
        let Some(inputs) = member(description, &names.at)? else {
            return Ok(None);
        };
        let mut reader = Reader { names, bytes: 0 };
        let inputs = reader.inputs(inputs, MAX_LEVELS)?;
        let bytes = reader.bytes;
        Ok((bytes <= MAX_BYTES).then_some(Self { inputs, bytes }))
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Which type the values of the input `name` become, if one, where `sent` tells the values of a node's inputs; `None`
    /// when there is no such input.
    pub fn find<'v>(&self, name: &str, sent: &dyn Fn(&str) -> Option<&'v [u8]>) -> Option<Option<ValueType>> {
        self.inputs.find_behind(0, name, sent)
    }
}

impl Inputs {
    // Recursion is as deep as what was read, at most `MAX_LEVELS`.
    fn find_behind<'v>(
        &self,
        start: usize,
        name: &str,
        sent: &dyn Fn(&str) -> Option<&'v [u8]>,
    ) -> Option<Option<ValueType>> {
        let rest = name.get(start..)?;
        let chosen = |options: &'_ [(Box<str>, Self)], whole: &str| {
            let key = string_value(sent(whole)?)?;
            options.iter().position(|(known, _)| **known == *key)
        };
        match self.0.get(rest) {
            Some(Input::Value(to)) => return Some(*to),
            Some(Input::Choice(options)) => return chosen(options, name).map(|_| None),
            Some(Input::Slot(_)) => return Some(None),
            // Neither has a value of its own.
            Some(Input::Series(_) | Input::Rows(_)) => return None,
            None => {}
        }
        let (head, tail) = rest.split_once('.')?;
        let whole = name.get(..start + head.len())?;
        let below = whole.len() + 1;
        match self.0.get(head)? {
            Input::Value(_) => None,
            Input::Choice(options) => {
                let (_, inputs) = options.get(chosen(options, whole)?)?;
                inputs.find_behind(below, name, sent)
            }
            Input::Slot(inputs) => sent(whole).and_then(|_| inputs.find_behind(below, name, sent)),
            Input::Series(to) => (!tail.contains('.')).then_some(*to),
            Input::Rows(inputs) => {
                let (row, _) = tail.split_once('.')?;
                if !row.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                inputs.find_behind(below + row.len() + 1, name, sent)
            }
        }
    }
}

impl Reader<'_> {
    /// The inputs of `holder`, section by section.
    // Recursion ends with `levels`.
    fn inputs(&mut self, holder: &[u8], levels: usize) -> Result<Inputs, ScanError> {
        let mut inputs = BTreeMap::new();
        for section in &self.names.sections {
            let Some(section) = member(holder, section)? else {
                continue;
            };
            let mut described = Vec::new();
            members(section, |name, input| {
                described.extend(decode(name).map(|name| (name, input)))
            })?;
            for (name, description) in described {
                self.bytes = self.bytes.saturating_add(name.len() + INPUT_BYTES);
                if self.bytes > MAX_BYTES {
                    break;
                }
                if let Entry::Vacant(place) = inputs.entry(name.into_boxed_str()) {
                    place.insert(self.input(description, levels)?);
                }
            }
        }
        Ok(Inputs(inputs))
    }

    /// One input, described as `[type, options]`; a list as its type is a list of what can be chosen.
    fn input(&mut self, description: &[u8], levels: usize) -> Result<Input, ScanError> {
        let (mut parts, names) = (Vec::new(), self.names);
        elements(description, |part| parts.push(part))?;
        let word = parts.first().and_then(|part| string_value(part)).unwrap_or_default();
        let options: &[u8] = parts.get(1).copied().unwrap_or_default();
        let is = |known: &String| *known == word;
        let nested = |known: &'_ Option<NestedNames>| known.clone().filter(|known| known.r#type == word && levels > 0);
        let levels_below = levels.saturating_sub(1);
        let below = |reader: &mut Self, names: &NestedNames| match member(options, &names.inputs)? {
            Some(inputs) => reader.inputs(inputs, levels_below),
            None => Ok(Inputs::default()),
        };
        if let Some(choice) = names.choice.as_ref().filter(|choice| is(&choice.r#type) && levels > 0) {
            return Ok(Input::Choice(self.options(options, choice, levels_below)?));
        }
        if let Some(names) = nested(&names.slot) {
            return Ok(Input::Slot(below(self, &names)?));
        }
        if let Some(names) = nested(&names.rows) {
            return Ok(Input::Rows(below(self, &names)?));
        }
        if let Some(names) = nested(&names.series) {
            let only = below(self, &names)?.0.into_values().next();
            return Ok(Input::Series(only.and_then(|input| match input {
                Input::Value(to) => to,
                _ => None,
            })));
        }
        let types = [
            (&names.integer, ValueType::Integer),
            (&names.float, ValueType::Float),
            (&names.text, ValueType::Text),
            (&names.boolean, ValueType::Boolean),
        ];
        Ok(Input::Value(
            types.into_iter().find(|(known, _)| is(known)).map(|(_, to)| to),
        ))
    }

    fn options(
        &mut self,
        options: &[u8],
        names: &ChoiceNames,
        levels: usize,
    ) -> Result<Vec<(Box<str>, Inputs)>, ScanError> {
        let mut listed = Vec::new();
        if let Some(list) = member(options, &names.options)? {
            elements(list, |option| listed.push(option))?;
        }
        let mut read = Vec::new();
        for option in listed {
            self.bytes = self.bytes.saturating_add(INPUT_BYTES);
            let (Some(key), Some(inputs)) = (member(option, &names.key)?, member(option, &names.inputs)?) else {
                continue;
            };
            if let Some(key) = string_value(key).filter(|_| self.bytes <= MAX_BYTES) {
                self.bytes = self.bytes.saturating_add(key.len());
                read.push((key.into_boxed_str(), self.inputs(inputs, levels)?));
            }
        }
        Ok(read)
    }
}

/// The value at a path; of a repeated key the last one counts.
fn member<'a>(text: &'a [u8], path: &MemberPath) -> Result<Option<&'a [u8]>, ScanError> {
    let mut at = Some(text);
    for name in path.names() {
        let (holder, mut found) = (at.unwrap_or_default(), None);
        members(holder, |key, value| {
            if key_is(key, name) {
                found = Some(value);
            }
        })?;
        at = found;
    }
    Ok(at)
}
