//! Words that look like others: of letters of two alphabets, or with something invisible between them.

use std::sync::LazyLock;

/// What a character is to a word.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    Latin,
    Arabic,
    /// Greek, Cyrillic, full-width and styled letters: those with look-alikes among the Latin ones.
    Alike,
    /// Shows nothing and joins nothing. Those that choose a direction, or the form of an Arabic letter, have their use.
    Invisible,
    /// Shows nothing, and has its use behind an Arabic letter.
    Joiner,
    /// Stands between words.
    Space,
    /// A letter or digit of none of these alphabets.
    Other,
    #[default]
    Symbol,
}

/// Characters below are in the table.
const TABLED: u32 = 0x1_d7cc;

/// The kinds of characters: one step for each, where telling takes many.
static KINDS: LazyLock<Box<[Kind]>> =
    LazyLock::new(|| (0..TABLED).map(|code| char::from_u32(code).map_or(Kind::Symbol, told)).collect());

fn told(c: char) -> Kind {
    match c {
        'A'..='Z' | 'a'..='z' => Kind::Latin,
        '\u{620}'..='\u{64a}' | '\u{671}'..='\u{6d3}' => Kind::Arabic,
        '\u{386}'..='\u{481}'
        | '\u{48a}'..='\u{52f}'
        | '\u{ff21}'..='\u{ff3a}'
        | '\u{ff41}'..='\u{ff5a}'
        | '\u{1d400}'..='\u{1d7cb}' => Kind::Alike,
        '\u{ad}' | '\u{200b}' | '\u{2060}'..='\u{2063}' | '\u{feff}' | '\u{34f}' | '\u{180e}' => {
            Kind::Invisible
        }
        '\u{200c}' | '\u{200d}' => Kind::Joiner,
        c if c.is_whitespace() => Kind::Space,
        c if c.is_alphanumeric() => Kind::Other,
        _ => Kind::Symbol,
    }
}

/// Whether a byte begins characters that are neither in plain English nor in plain Arabic texts.
fn is_foreign(byte: u8) -> bool {
    matches!(byte, 0xc2 | 0xcd..=0xd4 | 0xe1..=0xef | 0xf0)
}

/// How many words have letters of two alphabets, or something invisible between their letters. Arabic words do not count
/// for the first: they are written beside others without a space.
pub(super) fn hidden_words(text: &str) -> usize {
    // Whole chunks, none of them left early, so that the processor takes many bytes at once.
    let mut chunks = text.as_bytes().chunks(256);
    if !chunks.any(|chunk| chunk.iter().fold(false, |any, byte| any | is_foreign(*byte))) {
        return 0;
    }
    let (mut word, mut count) = (Word::default(), 0);
    let kinds = &**KINDS;
    for c in text.chars() {
        match kinds.get(c as usize).copied().unwrap_or_else(|| told(c)) {
            Kind::Space => {
                count += usize::from(word.is_hidden());
                word = Word::default();
            }
            kind => word.add(kind),
        }
    }
    count + usize::from(word.is_hidden())
}

/// What was seen of a word.
#[derive(Default)]
struct Word {
    latin: bool,
    alike: bool,
    /// What the visible character before is, if it is of one of the alphabets.
    before: Kind,
    /// Something invisible came since.
    gap: bool,
    /// One of its parts is hidden.
    hidden: bool,
}

impl Word {
    #[inline]
    fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Invisible => self.gap = true,
            Kind::Joiner if self.before != Kind::Arabic => self.gap = true,
            Kind::Latin | Kind::Arabic | Kind::Alike => {
                self.hidden |= self.gap && self.before != Kind::Symbol;
                self.latin |= kind == Kind::Latin;
                self.alike |= kind == Kind::Alike;
                (self.before, self.gap) = (kind, false);
            }
            Kind::Other => (self.before, self.gap) = (Kind::Symbol, false),
            Kind::Joiner | Kind::Symbol | Kind::Space => {
                // `SMS-код` is two words, each of one alphabet.
                self.hidden |= self.latin && self.alike;
                *self = Self { hidden: self.hidden, ..Self::default() };
            }
        }
    }

    fn is_hidden(&self) -> bool {
        self.hidden || (self.latin && self.alike)
    }
}

#[cfg(test)]
mod tests {
    use super::hidden_words;

    #[test]
    fn hidden_words_are_counted() {
        for (text, count) in [
            ("", 0),
            ("plain words, خصم and café €5 👨\u{200d}👩\u{200d}👧", 0),
            ("Привет мир, Ελλάδα", 0),
            ("Ваш PIN-код 4821, SMS-код: https://x.ru/заказ", 0),
            ("fr\u{435}e/g\u{456}ft", 1),
            ("می\u{200c}خواهم \u{200f}خصم\u{200f} \u{feff}start", 0),
            ("dіsсount sаle", 2),
            ("dis\u{200b}count no\u{2060}w f\u{200c}ree", 3),
            ("خص\u{200b}م", 1),
            ("ｓale 𝗳ree", 2),
        ] {
            assert_eq!(hidden_words(text), count, "{text}");
        }
    }
}
