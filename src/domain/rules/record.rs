//! Whether a text has the marks of a record: the numbers by which two who do business with each other know the matter.

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
    figures: usize,
    /// The first two figures, which tell a year.
    century: u32,
    clock: bool,
    amount: bool,
    /// One more than the figures after the point.
    fraction: usize,
}

/// True when a time of day, a number of four to eight figures that is no price or year, an amount with two decimals, or
/// a number after `#` is in the text.
pub(super) fn has_record(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !may_be_digit(bytes[at], bytes.get(at + 1).copied().unwrap_or_default()) {
            at += 1;
            continue;
        }
        let (number, length) = number(&text[at..]);
        if number.figures == 0 {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        }
        if is_record(&text[..at], &text[at + length..], &number) {
            return true;
        }
        at += length;
    }
    false
}

/// Whether a digit can begin with these two bytes; all others are passed by quickly.
#[inline]
fn may_be_digit(first: u8, second: u8) -> bool {
    match first {
        b'0'..=b'9' => true,
        0xd9 => matches!(second, 0xa0..=0xa9),
        0xdb => matches!(second, 0xb0..=0xb9),
        0xef => second == 0xbc,
        _ => false,
    }
}

/// The value of a digit as people write numbers in English, Arabic and Persian, also in full width.
fn digit(c: char) -> Option<u32> {
    let zero = match c {
        '0'..='9' => '0',
        '٠'..='٩' => '٠',
        '۰'..='۹' => '۰',
        '０'..='９' => '０',
        _ => return None,
    };
    Some(c as u32 - zero as u32)
}

/// The number a text begins with, and its length in bytes.
fn number(text: &str) -> (Number, usize) {
    let mut number = Number::default();
    let mut length = 0;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let before_digit = characters.peek().copied().and_then(digit).is_some();
        match (c, digit(c)) {
            (_, Some(value)) => {
                if number.figures < 2 {
                    number.century = number.century * 10 + value;
                }
                number.figures += 1;
                number.fraction += usize::from(number.fraction > 0);
            }
            (':', _) if before_digit && number.figures > 0 => number.clock = true,
            (',' | '٬', _) if before_digit && number.figures > 0 => number.amount = true,
            ('.' | '٫', _) if before_digit && number.figures > 0 => number.fraction = 1,
            _ => break,
        }
        length += c.len_utf8();
    }
    (number, length)
}

fn is_record(before: &str, after: &str, number: &Number) -> bool {
    if number.clock || number.fraction == 3 {
        return true;
    }
    let before = before.trim_end_matches(' ');
    if before.ends_with(['#', '№']) {
        return true;
    }
    let year = number.figures == 4 && matches!(number.century, 19 | 20);
    FIGURES.contains(&number.figures)
        && !number.amount
        && !year
        && !before.ends_with(['$', '£', '€', '+'])
        && !beside_money(before, after.trim_start_matches(' '))
}

fn beside_money(before: &str, after: &str) -> bool {
    let no_letter = |c: char| !c.is_alphabetic();
    let words = [before.rsplit(no_letter).next(), after.split(no_letter).next()];
    let money = |word: &str| MONEY.iter().any(|money| money.eq_ignore_ascii_case(word));
    words.into_iter().flatten().any(money) || after.starts_with(['$', '£', '€', '%', '٪'])
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
