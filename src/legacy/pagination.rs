//! Counts and offsets as the legacy endpoints take them.

use super::LegacyError;
use crate::mapping::PaginationNames;
use percent_encoding::percent_decode_str;
use std::ops::Range;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// The two numbers of a list request, as the client wrote them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pagination {
    /// How many entries are wanted.
    pub count: Option<i64>,
    /// How many are passed over.
    pub skip: Option<i64>,
}

/// Refuses a query whose counts and offsets are no numbers.
pub fn check_numbers(query: &str, names: &PaginationNames) -> Result<(), LegacyError> {
    Pagination::parse(query, names).map(drop)
}

impl Pagination {
    /// Reads the parameters that the table names. A repeated one counts where it comes first.
    pub(super) fn parse(query: &str, names: &PaginationNames) -> Result<Self, LegacyError> {
        Ok(Self {
            count: parameter(query, &names.count)?,
            skip: parameter(query, &names.skip)?,
        })
    }

    /// Which of `total` entries, oldest first, a self-hosted server shows. It stops after the entry that brings it to
    /// the count, so with an offset it shows one entry even for a count of 0 or less.
    pub(super) fn oldest_first(&self, total: usize) -> Range<usize> {
        let length = i64::try_from(total).unwrap_or(i64::MAX);
        let skip = self.skip.filter(|skip| *skip >= 0);
        let start = match (skip, self.count) {
            (Some(skip), _) => skip.min(length),
            (None, Some(count)) => length.saturating_sub(count).clamp(0, length),
            (None, None) => 0,
        };
        let end = match self.count {
            Some(count) => start.saturating_add(count.max(1)).min(length),
            None => length,
        };
        position(start)..position(end)
    }

    /// Which of `total` entries, newest first, the cloud shows.
    pub(super) fn newest_first(&self, total: usize) -> Range<usize> {
        let start = position(self.skip.unwrap_or(0)).min(total);
        let end = match self.count {
            Some(count) => start.saturating_add(position(count)).min(total),
            None => total,
        };
        start..end
    }

    /// How many of those that ended last are all that a self-hosted server shows; `None` when it counts from the
    /// oldest.
    pub(super) fn newest_ended(&self) -> Option<usize> {
        match self.skip {
            Some(skip) if skip >= 0 => None,
            _ => Some(position(self.count?)),
        }
    }

    /// How many entries, newest first, must be known; `None` for all.
    pub(super) fn needed(&self) -> Option<usize> {
        let count = position(self.count?);
        Some(count.saturating_add(position(self.skip.unwrap_or(0))))
    }
}

fn position(number: i64) -> usize {
    usize::try_from(number.max(0)).unwrap_or(usize::MAX)
}

fn parameter(query: &str, name: &str) -> Result<Option<i64>, LegacyError> {
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = percent_decode_str(key).decode_utf8_lossy();
        if name != &*key {
            continue;
        }
        let value = value.replace('+', " ");
        let value = percent_decode_str(&value).decode_utf8_lossy();
        return match whole_number(value.trim()) {
            Some(number) => Ok(Some(number)),
            None => Err(LegacyError::Query {
                parameter: key.into_owned(),
            }),
        };
    }
    Ok(None)
}

/// A whole number as Python's `int` takes it: a sign, digits of any script, single underscores between them. One too large
/// for 64 bits is as good as the largest.
fn whole_number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let mut number: i64 = 0;
    for group in digits.split('_') {
        if group.is_empty() {
            return None;
        }
        for character in group.chars() {
            let digit = i64::from(digit(character)?);
            number = number.saturating_mul(10).saturating_add(digit);
        }
    }
    Some(if negative { -number } else { number })
}

/// What a decimal digit of any script stands for. Each script has its ten one after the other, from zero; where scripts
/// follow each other without a gap, tens do.
fn digit(character: char) -> Option<u32> {
    let is_digit = |character: &char| character.general_category() == GeneralCategory::DecimalNumber;
    character.to_digit(10).or_else(|| {
        let before = (0..u32::from(character)).rev().map_while(char::from_u32);
        is_digit(&character).then(|| before.take_while(is_digit).count() as u32 % 10)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pagination(count: Option<i64>, skip: Option<i64>) -> Pagination {
        Pagination { count, skip }
    }

    #[test]
    fn a_count_alone_takes_the_newest_and_an_offset_counts_from_the_oldest() {
        assert_eq!(pagination(None, None).oldest_first(5), 0..5);
        assert_eq!(pagination(Some(2), None).oldest_first(5), 3..5);
        assert_eq!(pagination(Some(9), None).oldest_first(5), 0..5);
        assert_eq!(pagination(Some(2), Some(1)).oldest_first(5), 1..3);
        assert_eq!(pagination(None, Some(4)).oldest_first(5), 4..5);
        assert_eq!(pagination(Some(2), Some(99)).oldest_first(5), 5..5);
    }

    #[test]
    fn no_entries_for_a_count_of_zero_or_less_but_one_with_an_offset() {
        assert_eq!(pagination(Some(0), None).oldest_first(5), 5..5);
        assert_eq!(pagination(Some(-1), None).oldest_first(5), 5..5);
        assert_eq!(pagination(Some(0), Some(2)).oldest_first(5), 2..3);
        assert_eq!(pagination(Some(i64::MIN), Some(0)).oldest_first(5), 0..1);
    }

    #[test]
    fn a_negative_offset_counts_as_absent() {
        assert_eq!(pagination(Some(2), Some(-1)).oldest_first(5), 3..5);
        assert_eq!(pagination(None, Some(-7)).oldest_first(5), 0..5);
    }

    #[test]
    fn the_cloud_counts_from_the_newest() {
        assert_eq!(pagination(Some(2), Some(1)).newest_first(5), 1..3);
        assert_eq!(pagination(Some(9), Some(4)).newest_first(5), 4..5);
        assert_eq!(pagination(Some(0), None).newest_first(5), 0..0);
    }

    #[test]
    fn numbers_are_read_as_python_reads_them() {
        for (text, number) in [
            ("5", 5),
            ("+5", 5),
            ("-3", -3),
            ("1_000", 1000),
            ("007", 7),
            ("\u{ff11}\u{ff10}", 10),
            ("-1\u{ff19}", -19),
            ("\u{663}\u{966}", 30),
            ("\u{1d7ff}\u{1d7ce}\u{1d7d8}\u{1d7e3}", 9001),
        ] {
            assert_eq!(whole_number(text), Some(number), "{text}");
        }
        assert_eq!(whole_number("99999999999999999999"), Some(i64::MAX));
        for text in [
            "", "abc", "1.5", "1__0", "_1", "--1", "1e3", "0x10", "\u{b2}", "\u{2167}", "\u{4e94}",
        ] {
            assert_eq!(whole_number(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_of_a_repeated_parameter_counts() {
        let names = PaginationNames {
            count: "n".to_owned(),
            skip: "o".to_owned(),
        };
        let parsed = Pagination::parse("x=1&n=%32&n=9&o=+4", &names).expect("numbers");
        assert_eq!(parsed, pagination(Some(2), Some(4)));
    }
}
