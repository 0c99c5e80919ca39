//! Whether a text has the marks of a record: the numbers by which two who do business with each other know the matter.

use crate::domain::fold::Table;

/// Amounts stand beside one of these; they are prices as well as records.
const MONEY: [&str; 46] = [
    "sar",
    "sr",
    "aed",
    "dhs",
    "egp",
    "le",
    "jod",
    "jd",
    "kwd",
    "kd",
    "qar",
    "qr",
    "omr",
    "bhd",
    "bd",
    "mad",
    "dh",
    "usd",
    "eur",
    "gbp",
    "dollar",
    "dollars",
    "euro",
    "euros",
    "pound",
    "pounds",
    "riyal",
    "riyals",
    "dirham",
    "dirhams",
    "dinar",
    "dinars",
    "ريال",
    "ريالا",
    "ريالات",
    "ر",
    "درهم",
    "درهما",
    "دراهم",
    "جنيه",
    "جنيها",
    "دينار",
    "دينارا",
    "دولار",
    "دولارا",
    "ل",
];
/// Figures of a number that names something; longer ones may be telephone numbers.
const FIGURES: std::ops::RangeInclusive<usize> = 4..=8;

/// One number of a text.
#[derive(Default)]
struct Number {
    digits: String,
    clock: bool,
    amount: bool,
    fraction: usize,
}

/// True when a time of day, a number of four to eight figures that is no price or year, an amount with two decimals, or
/// a number after `#` is in the text.
pub(super) fn has_record(text: &str) -> bool {
    let characters: Vec<char> = text.chars().map(digit_or_same).collect();
    let mut at = 0;
    while at < characters.len() {
        if !characters[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let (number, end) = number(&characters, at);
        if is_record(&characters, at, end, &number) {
            return true;
        }
        at = end;
    }
    false
}

fn digit_or_same(c: char) -> char {
    if c.is_ascii() || c.is_alphabetic() {
        return c;
    }
    let mut folded = c;
    Table::get().each(c, |code| match char::from_u32(code) {
        Some(digit) if digit.is_ascii_digit() => folded = digit,
        _ => {}
    });
    folded
}

/// The number that begins at `start`, and where it ends.
fn number(characters: &[char], start: usize) -> (Number, usize) {
    let mut number = Number::default();
    let mut at = start;
    while let Some(c) = characters.get(at) {
        let next_is_digit = characters.get(at + 1).is_some_and(char::is_ascii_digit);
        match c {
            '0'..='9' => {
                number.digits.push(*c);
                number.fraction += usize::from(number.fraction > 0);
            }
            ':' if next_is_digit => number.clock = true,
            ',' | '٬' if next_is_digit => number.amount = true,
            '.' | '٫' if next_is_digit => number.fraction = 1,
            _ => break,
        }
        at += 1;
    }
    (number, at)
}

fn is_record(characters: &[char], start: usize, end: usize, number: &Number) -> bool {
    if number.clock || number.fraction == 3 {
        return true;
    }
    let before = characters[..start].iter().rev().take_while(|c| **c == ' ').count();
    let sign = start.checked_sub(before + 1).map(|at| characters[at]);
    if matches!(sign, Some('#' | '№')) {
        return true;
    }
    let year =
        number.digits.len() == 4 && (number.digits.starts_with("19") || number.digits.starts_with("20"));
    FIGURES.contains(&number.digits.len())
        && !number.amount
        && !year
        && !matches!(sign, Some('$' | '£' | '€' | '+'))
        && !beside_money(characters, start, end)
}

fn beside_money(characters: &[char], start: usize, end: usize) -> bool {
    let after = characters[end..].iter().skip_while(|c| **c == ' ').take_while(|c| c.is_alphabetic());
    let mut before: Vec<char> = characters[..start]
        .iter()
        .rev()
        .skip_while(|c| **c == ' ')
        .take_while(|c| c.is_alphabetic())
        .copied()
        .collect();
    before.reverse();
    let words = [after.collect::<String>(), before.into_iter().collect()];
    let money = |word: &String| MONEY.iter().any(|money| money.eq_ignore_ascii_case(word));
    words.iter().any(money)
        || matches!(characters[end..].iter().find(|c| **c != ' '), Some('$' | '£' | '€' | '%' | '٪'))
}

#[cfg(test)]
mod tests {
    use super::has_record;

    #[test]
    fn numbers_of_a_matter_are_records() {
        for text in [
            "order 40177",
            "INV-20418",
            "at 10:30",
            "SAR 87.25",
            "ticket #88",
            "# 12",
            "الفاتورة ٣٠٧٧١",
            "الساعة ٩:٣٠",
            "بلاغ ٣٣١٨",
        ] {
            assert!(has_record(text), "{text}");
        }
    }

    #[test]
    fn prices_years_and_telephone_numbers_are_none() {
        for text in [
            "only SAR 1299",
            "2999 ريال",
            "$2000",
            "1,299 only",
            "up to 70%",
            "the 2026 range",
            "call 0501234567",
            "+9715012345",
            "1.5 ton",
            "",
        ] {
            assert!(!has_record(text), "{text}");
        }
    }
}
