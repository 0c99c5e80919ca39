//! What each character folds to, looked up in one step: a text is folded in a single pass.

use std::ops::Range;
use std::sync::LazyLock;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

use super::Folded;
use super::look_alikes::{DIGIT_ZEROS, INVISIBLE, LETTERS, look_alike};

/// Nothing: marks, tatweel, invisible characters, apostrophes.
const DROP: u8 = 0;
/// White space.
pub(crate) const SPACE: u8 = 1;
/// Punctuation and symbols.
pub(crate) const MARK: u8 = 2;
/// A percent sign.
pub(crate) const PERCENT: u8 = 3;
/// A sign of money that is not the dollar's.
pub(crate) const CURRENCY: u8 = 4;
/// A dollar sign, which may stand for an S.
pub(crate) const DOLLAR: u8 = 5;
/// A full stop, which may be part of an address.
pub(crate) const DOT: u8 = 6;
/// An at sign, which may stand for an A.
pub(crate) const AT: u8 = 7;
/// A mark of one stroke, which may stand for an I or an L.
pub(crate) const STROKE: u8 = 8;
/// Greater ones are letters and digits.
pub(crate) const LAST_SIGN: u8 = STROKE;
/// Half of a flag, from A to Z. It may be the letter, or nothing.
const FLAGS: Range<u8> = 0x10..0x2a;
/// A letter or digit that has no byte of its own.
pub(crate) const OTHER: u8 = 0x80;
/// In the table alone: characters that fold to more than one.
const SEVERAL: u8 = 0x81;

/// The Arabic letters that have bytes of their own, and what is between a letter's byte and its character.
const ARABIC: Range<u32> = 0x620..0x64b;
const ARABIC_OFFSET: u32 = 0x620 - 0xa0;
/// A code with the letter in the low bits: half of a flag, or a letter spelled with one.
const REGIONAL: u32 = 1 << 24;

/// Characters below are in the table, others are worked out when they come.
const TABLED: u32 = 0x2_0000;
/// How often a result is folded again until it stays; two are enough for every character.
const ROUNDS: usize = 4;

/// The folding of every character.
pub(crate) struct Table {
    /// The byte of each that is in ASCII.
    ascii: [u8; 256],
    /// The byte of each, small enough to stay in the cache while texts are folded.
    letters: Box<[u8]>,
    /// The character of each that is [`OTHER`], the place in `several` of each that is [`SEVERAL`].
    codes: Box<[u32]>,
    several: Vec<Vec<u32>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

impl Table {
    /// The only one.
    pub(crate) fn get() -> &'static Self {
        &TABLE
    }

    fn new() -> Self {
        let mut table = Self {
            ascii: [DROP; 256],
            letters: vec![MARK; TABLED as usize].into(),
            codes: vec![0; TABLED as usize].into(),
            several: Vec::new(),
        };
        for c in (0..TABLED).filter_map(char::from_u32) {
            let codes = work_out(c);
            (table.letters[c as usize], table.codes[c as usize]) = match codes.as_slice() {
                [] => (DROP, 0),
                [one] => (letter(*one), *one),
                _ => {
                    table.several.push(codes);
                    (SEVERAL, u32::try_from(table.several.len() - 1).unwrap_or_default())
                }
            };
        }
        table.ascii[..0x80].copy_from_slice(&table.letters[..0x80]);
        table
    }

    /// What is left of a text.
    pub(crate) fn fold(&self, text: &str) -> Folded {
        let mut folded = Folded { letters: Vec::with_capacity(text.len()), others: Vec::new() };
        let mut rest = text;
        while !rest.is_empty() {
            let ascii = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
            folded.letters.extend(rest[..ascii].bytes().map(|byte| self.ascii[usize::from(byte)]));
            let mut chars = rest[ascii..].chars();
            for c in chars.by_ref() {
                match self.letters.get(c as usize) {
                    Some(&(OTHER | SEVERAL)) | None => self.fold_rare(c, &mut folded),
                    Some(letter) => folded.letters.push(*letter),
                }
                if c.is_ascii() {
                    break;
                }
            }
            rest = chars.as_str();
        }
        // At the end, so that nothing is asked of the letters of most texts one by one.
        if folded.letters.contains(&DROP) {
            folded.letters.retain(|letter| *letter != DROP);
        }
        folded
    }

    fn fold_rare(&self, c: char, folded: &mut Folded) {
        match self.letters.get(c as usize) {
            Some(&SEVERAL) => push(folded, &self.several[self.codes[c as usize] as usize]),
            Some(_) => push(folded, &self.codes[c as usize..=c as usize]),
            None => push(folded, &work_out(c)),
        }
    }
}

fn push(folded: &mut Folded, codes: &[u32]) {
    for code in codes {
        let letter = letter(*code);
        if letter == OTHER {
            folded.others.extend(char::from_u32(*code));
        }
        folded.letters.push(letter);
    }
}

/// The byte of a code: a sign's number, an ASCII letter or digit, an Arabic letter, half of a flag.
fn letter(code: u32) -> u8 {
    match code {
        0..0x80 => code as u8,
        code if ARABIC.contains(&code) => (code - ARABIC_OFFSET) as u8,
        code if code & REGIONAL != 0 => FLAGS.start + (code as u8 - b'a'),
        _ => OTHER,
    }
}

/// The letter of half a flag.
#[inline]
pub(crate) fn regional(letter: u8) -> Option<u8> {
    FLAGS.contains(&letter).then(|| letter - FLAGS.start + b'a')
}

/// Whether the byte is neither a letter nor a digit.
#[inline]
pub(super) fn is_between(letter: u8) -> bool {
    letter < FLAGS.end
}

/// Whether the byte is an Arabic letter.
#[inline]
pub(crate) fn is_arabic(letter: u8) -> bool {
    letter > SEVERAL
}

/// Each letter or digit in UTF-8, and how many bytes that takes: two for an Arabic letter, none for what is between.
pub(super) const UTF8: [([u8; 2], u8); 256] = {
    let mut utf8 = [([0; 2], 0); 256];
    let mut letter = FLAGS.end;
    while letter < OTHER {
        utf8[letter as usize] = ([letter, 0], 1);
        letter += 1;
    }
    let mut code = ARABIC.start;
    while code < ARABIC.end {
        let bytes = [0xc0 | (code >> 6) as u8, 0x80 | (code & 0x3f) as u8];
        utf8[(code - ARABIC_OFFSET) as usize] = (bytes, 2);
        code += 1;
    }
    utf8
};

/// The codes a character folds to: signs, characters, halves of flags.
fn work_out(c: char) -> Vec<u32> {
    let mut codes = vec![c as u32];
    for _ in 0..ROUNDS {
        codes = codes.iter().flat_map(|code| once(*code)).collect();
    }
    codes
}

fn once(code: u32) -> Vec<u32> {
    let Some(c) = char::from_u32(code).filter(|_| code > u32::from(LAST_SIGN)) else {
        return if code == u32::from(DROP) { Vec::new() } else { vec![code] };
    };
    match c {
        _ if INVISIBLE.iter().any(|range| range.contains(&c)) => return Vec::new(),
        '\u{2800}' => return vec![u32::from(SPACE)],
        '%' | '٪' => return vec![u32::from(PERCENT)],
        '\'' | '’' | '‘' | '`' | '´' | 'ʼ' | '＇' => return Vec::new(),
        '.' => return vec![u32::from(DOT)],
        '@' => return vec![u32::from(AT)],
        '!' | '|' | '¡' | '¦' => return vec![u32::from(STROKE)],
        '$' => return vec![u32::from(DOLLAR)],
        '£' | '€' | '¥' | '₹' | '₺' | '₽' | '₪' | '﷼' | '¢' | '\u{20c1}' => {
            return vec![u32::from(CURRENCY)];
        }
        '\u{1f1e6}'..='\u{1f1ff}' => return vec![REGIONAL | (code - 0x1f1e6 + u32::from(b'a'))],
        _ => {}
    }
    if let Some(zero) = DIGIT_ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code)) {
        return vec![u32::from(b'0') + code - zero];
    }
    for (first, letter) in LETTERS {
        if (first..first + 26).contains(&code) {
            return vec![u32::from(letter) + code - first];
        }
    }
    if let Some(like) = look_alike(c) {
        return vec![like as u32];
    }
    let mut parts = Vec::new();
    decompose_compatible(c, |part| parts.extend(part.to_lowercase().map(u32::from)));
    parts.iter().filter_map(|code| char::from_u32(*code)).filter_map(plain).collect()
}

/// What is left of a character that needs no decomposition.
fn plain(c: char) -> Option<u32> {
    if c as u32 <= u32::from(LAST_SIGN) {
        Some(MARK.into())
    } else if c.is_whitespace() {
        Some(SPACE.into())
    } else if is_combining_mark(c) {
        None
    } else if c.is_alphanumeric() || matches!(c, '%' | '.' | '@' | '!' | '|' | '$') {
        Some(c as u32)
    } else {
        Some(MARK.into())
    }
}
