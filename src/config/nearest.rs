//! What somebody who mistyped a name may have meant.

/// How alike two names must be, from 0 to 1.
const ALIKE: f64 = 0.7;

/// The one of `known` that is most like `written`, if one is.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(&written, &name.to_ascii_lowercase());
    let alike = known.into_iter().map(|name| (likeness(name), name));
    let best = alike.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (best.0 >= ALIKE).then_some(best.1)
}

/// So many of `known` that are most like `written`, whether it was meant for one of them or not.
pub fn nearest_few<'a>(written: &str, known: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let mut alike: Vec<&str> = known.into_iter().collect();
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(written, name);
    alike.sort_by(|one, other| likeness(other).total_cmp(&likeness(one)));
    alike.truncate(most);
    alike
}

/// Says of `written` what was meant, or else what there is: the end of a message.
pub(crate) fn known_names<'a>(written: &str, known: impl IntoIterator<Item = &'a str, IntoIter: Clone>) -> String {
    let known = known.into_iter();
    match nearest(written, known.clone()) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("there are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let modes = ["translate", "forward", "shadow", "canary", "auto", "gone"];
        for (written, meant) in [
            ("transalte", Some("translate")),
            ("Forwrd", Some("forward")),
            ("shaddow", Some("shadow")),
            ("cannary", Some("canary")),
            ("atuo", Some("auto")),
            ("mirror", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, modes), meant, "{written}");
        }
    }
}
