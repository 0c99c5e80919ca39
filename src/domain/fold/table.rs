//! What each character folds to, looked up in one step: a text is folded in a single pass.

use std::sync::LazyLock;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

use super::look_alikes::{DIGIT_ZEROS, INVISIBLE, LETTERS, look_alike};

/// Nothing: marks, tatweel, invisible characters, apostrophes.
pub(crate) const DROP: u32 = 0;
/// White space.
pub(crate) const SPACE: u32 = 1;
/// Punctuation and symbols.
pub(crate) const MARK: u32 = 2;
/// A percent sign.
pub(crate) const PERCENT: u32 = 3;
/// A sign of money that is not the dollar's.
pub(crate) const CURRENCY: u32 = 4;
/// A dollar sign, which may stand for an S.
pub(crate) const DOLLAR: u32 = 5;
/// A full stop, which may be part of an address.
pub(crate) const DOT: u32 = 6;
/// An at sign, which may stand for an A.
pub(crate) const AT: u32 = 7;
/// A mark of one stroke, which may stand for an I or an L.
pub(crate) const STROKE: u32 = 8;
/// Greater codes are characters, or have a flag.
pub(crate) const LAST_SIGN: u32 = STROKE;
/// With the letter in the low bits: half of a flag, or a letter spelled with one.
const REGIONAL: u32 = 1 << 24;
/// With a place in `several` in the low bits: characters that fold to more than one.
const SEVERAL: u32 = 1 << 25;

/// Characters below are in the table, others are worked out when they come.
const TABLED: u32 = 0x2_0000;
/// How often a result is folded again until it stays; two are enough for every character.
const ROUNDS: usize = 4;

/// The folding of every character.
pub(crate) struct Table {
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
        let mut table = Self { codes: vec![MARK; TABLED as usize].into(), several: Vec::new() };
        for c in (0..TABLED).filter_map(char::from_u32) {
            let codes = work_out(c);
            table.codes[c as usize] = match codes.as_slice() {
                [] => DROP,
                [one] => *one,
                _ => {
                    table.several.push(codes);
                    SEVERAL | u32::try_from(table.several.len() - 1).unwrap_or_default()
                }
            };
        }
        table
    }

    /// The codes of a text, without those that are nothing.
    pub(crate) fn codes(&self, text: &str) -> Vec<u32> {
        let mut codes = Vec::with_capacity(text.len());
        for c in text.chars() {
            match self.codes.get(c as usize) {
                Some(&DROP) => {}
                Some(code) if code & SEVERAL == 0 => codes.push(*code),
                _ => self.each(c, |code| codes.push(code)),
            }
        }
        codes
    }

    /// Calls with each code the character folds to: one of the constants, a regional letter, or a character.
    fn each(&self, c: char, mut then: impl FnMut(u32)) {
        match self.codes.get(c as usize) {
            Some(code) if code & SEVERAL == 0 => then(*code),
            Some(code) => self.several[(code & !SEVERAL) as usize].iter().copied().for_each(then),
            None => work_out(c).into_iter().for_each(then),
        }
    }
}

/// The letter of a regional indicator's code.
#[inline]
pub(crate) fn regional(code: u32) -> Option<u8> {
    (code & REGIONAL != 0).then_some(code as u8)
}

fn work_out(c: char) -> Vec<u32> {
    let mut codes = vec![c as u32];
    for _ in 0..ROUNDS {
        codes = codes.iter().flat_map(|code| once(*code)).collect();
    }
    codes
}

fn once(code: u32) -> Vec<u32> {
    let Some(c) = char::from_u32(code).filter(|_| code > LAST_SIGN) else {
        return if code == DROP { Vec::new() } else { vec![code] };
    };
    match c {
        _ if INVISIBLE.iter().any(|range| range.contains(&c)) => return Vec::new(),
        '\u{2800}' => return vec![SPACE],
        '%' | '٪' => return vec![PERCENT],
        '\'' | '’' | '‘' | '`' | '´' | 'ʼ' | '＇' => return Vec::new(),
        '.' => return vec![DOT],
        '@' => return vec![AT],
        '!' | '|' | '¡' | '¦' => return vec![STROKE],
        '$' => return vec![DOLLAR],
        '£' | '€' | '¥' | '₹' | '₺' | '₽' | '₪' | '﷼' | '¢' | '\u{20c1}' => {
            return vec![CURRENCY];
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
    if c as u32 <= LAST_SIGN {
        Some(MARK)
    } else if c.is_whitespace() {
        Some(SPACE)
    } else if is_combining_mark(c) {
        None
    } else if c.is_alphanumeric() || matches!(c, '%' | '.' | '@' | '!' | '|' | '$') {
        Some(c as u32)
    } else {
        Some(MARK)
    }
}
