//! What the others read of a change: of which rows it is. Each is its table and its key, with the length of both in front.

use crate::store::change::Step;

/// Writes it.
pub(super) fn write(steps: &[Step]) -> Vec<u8> {
    let mut out = Vec::new();
    for step in steps {
        for part in [step.table.as_bytes(), step.key.as_slice()] {
            out.extend_from_slice(&(part.len() as u64).to_be_bytes());
            out.extend_from_slice(part);
        }
    }
    out
}

/// Reads it; `None` for what [`write`] does not make.
pub(super) fn read(mut text: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut part = || {
        let (length, rest) = text.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
        let (part, rest) = rest.split_at_checked(length)?;
        text = rest;
        Some((part.to_vec(), rest.is_empty()))
    };
    let mut rows = Vec::new();
    loop {
        let (table, _) = part()?;
        let (key, is_last) = part()?;
        rows.push((String::from_utf8(table).ok()?, key));
        if is_last {
            return Some(rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::change::Action;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20)) {
            let steps: Vec<Step> = keys
                .iter()
                .map(|key| Step { table: "deleted", key: key.clone(), action: Action::Remove })
                .collect();
            let expected: Vec<_> = keys.into_iter().map(|key| ("deleted".to_owned(), key)).collect();
            prop_assert_eq!(read(&write(&steps)), Some(expected));
        }

        #[test]
        fn anything_is_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&text);
        }
    }
}
