//! The words of a text, in two readings. Each word is bytes, one for a letter.
//!
//! A number is `#`, a percent sign `%`, a sign of money `$`, a dot inside a word `.`, each a word of its own. Arabic
//! letters are bytes above 0x80, all other letters `?`. Words lose what only their grammar adds (see [`stem`]).

use super::stem::stem;
use crate::domain::fold::{AT, CURRENCY, DOLLAR, DOT, LAST_SIGN, PERCENT, SPACE, STROKE, regional};

const OTHER_LETTER: u8 = b'?';

/// The byte of a folded letter or digit.
#[inline]
fn byte(code: u32) -> u8 {
    match code {
        0..0x80 => code as u8,
        0x620..0x64b => (code as u8) | 0x80,
        _ => OTHER_LETTER,
    }
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte >= 0x80
}

/// How a text is written.
#[derive(Clone, Copy, Default)]
pub(super) struct Writing {
    /// Something may hide words, such as digits or marks inside of them, single letters in a row, letters repeated: a
    /// second look is worth its time.
    pub(super) tricky: bool,
    /// The most single letters in a row.
    pub(super) spelled: u32,
}

/// Calls with each word of the text as it is written.
pub(super) fn plain(codes: &[u32], each: impl FnMut(&[u8])) -> Writing {
    let mut plain = Plain {
        each,
        word: Vec::with_capacity(64),
        writing: Writing::default(),
        any: false,
        joined: false,
        singles: 0,
        mark: None,
    };
    let mut at = 0;
    while let Some(&code) = codes.get(at) {
        if code <= LAST_SIGN {
            plain.sign(code, at > 0 && codes[at - 1] > LAST_SIGN);
            at += 1;
        } else {
            let length = codes[at..].iter().take_while(|code| **code > LAST_SIGN).count();
            plain.word(&codes[at..at + length]);
            at += length;
        }
    }
    plain.writing
}

struct Plain<F> {
    each: F,
    word: Vec<u8>,
    writing: Writing,
    /// There was a word.
    any: bool,
    /// The word before is a number, and only one mark stands between.
    joined: bool,
    /// So many words before have one letter.
    singles: u32,
    /// The mark that stands directly before.
    mark: Option<u32>,
}

impl<F: FnMut(&[u8])> Plain<F> {
    fn sign(&mut self, code: u32, after_letter: bool) {
        match code {
            SPACE => (self.joined, self.mark) = (false, None),
            PERCENT | CURRENCY | DOLLAR => {
                self.writing.tricky |= after_letter && self.word.last().is_some_and(|last| is_letter(*last));
                self.emit(if code == PERCENT { b"%" } else { b"$" });
                (self.joined, self.mark) = (false, None);
            }
            mark => {
                self.joined &= self.mark.is_none();
                self.mark = Some(mark);
            }
        }
    }

    fn word(&mut self, codes: &[u32]) {
        self.word.clear();
        let (mut digits, mut repeated, mut before) = (0, false, [0_u8; 2]);
        for &code in codes {
            if code < 0x80 || regional(code).is_none() {
                let byte = byte(code);
                digits += usize::from(byte.is_ascii_digit());
                repeated |= before == [byte; 2];
                before = [before[1], byte];
                self.word.push(byte);
            } else {
                self.writing.tricky = true;
            }
        }
        let Some(first) = self.word.first() else { return };
        let tight = self.mark.is_some() && !first.is_ascii_digit();
        self.writing.tricky |= tight;
        if tight && self.mark == Some(DOT) && self.any {
            self.emit(b".");
        }
        let number = digits == self.word.len();
        self.singles = if self.word.len() == 1 && !number { self.singles + 1 } else { 0 };
        self.writing.spelled = self.writing.spelled.max(self.singles);
        if number {
            if !self.joined {
                self.emit(b"#");
            }
        } else {
            self.writing.tricky |= repeated || digits > 0;
            if digits > 0 {
                self.split_number();
            } else {
                (self.each)(stem(&mut self.word));
            }
        }
        self.writing.tricky |= self.singles > 1;
        (self.any, self.joined, self.mark) = (true, number, None);
    }

    fn emit(&mut self, word: &[u8]) {
        (self.each)(word);
        self.any = true;
    }

    /// `199sar` is `# sar`, `save40` is `save #`; a single digit may be a letter in disguise and stays.
    fn split_number(&mut self) {
        let word = &self.word[..];
        let leading = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let trailing = word.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let from = if leading >= 2 { leading } else { 0 };
        let to = word.len() - if trailing >= 2 { trailing } else { 0 };
        if from > 0 {
            (self.each)(b"#");
        }
        (self.each)(&word[from..to]);
        if to < word.len() {
            (self.each)(b"#");
        }
    }
}

/// Calls with each word of the text with its disguises taken off: marks inside words removed, letters set apart joined,
/// digits and signs read as the letters they look like, repeated letters once. `l` and `i` are one letter here, because
/// `1`, `!` and `|` are both. With each word comes whether it was put together from single letters.
pub(super) fn unmasked(codes: &[u32], each: impl FnMut(&[u8], bool)) {
    let mut unmasked = Unmasked {
        each,
        word: Vec::with_capacity(64),
        token: Vec::with_capacity(64),
        run: Vec::new(),
        gap: 0,
        sign: None,
    };
    for &code in codes {
        unmasked.code(code);
    }
    unmasked.end_token();
    unmasked.end_run();
}

struct Unmasked<F> {
    each: F,
    word: Vec<u8>,
    token: Vec<u8>,
    run: Vec<u8>,
    gap: usize,
    sign: Option<u8>,
}

impl<F: FnMut(&[u8], bool)> Unmasked<F> {
    #[inline]
    fn code(&mut self, code: u32) {
        match code {
            SPACE => {
                self.end_token();
                self.gap += 1;
            }
            AT => self.sign = Some(b'a'),
            STROKE if !self.token.is_empty() => self.sign = Some(b'1'),
            DOLLAR => self.sign = Some(b's'),
            PERCENT | CURRENCY => {
                self.end_token();
                self.end_run();
                (self.each)(if code == PERCENT { b"%" } else { b"$" }, false);
            }
            0..=LAST_SIGN => {}
            code => {
                let byte = regional(code).unwrap_or_else(|| byte(code));
                match self.sign.take() {
                    Some(sign) if is_letter(byte) => self.token.push(sign),
                    Some(b's') => (self.each)(b"$", false),
                    _ => {}
                }
                self.token.push(byte);
            }
        }
    }

    fn end_token(&mut self) {
        self.sign = None;
        match self.token[..] {
            [] => return,
            [byte] if is_letter(byte) || !self.run.is_empty() => {
                if self.gap > 1 {
                    self.end_run();
                }
                self.run.push(byte);
            }
            _ => {
                self.end_run();
                let word = std::mem::take(&mut self.token);
                self.push(&word, false);
                self.token = word;
            }
        }
        self.token.clear();
        self.gap = 0;
    }

    fn end_run(&mut self) {
        if self.run.is_empty() {
            return;
        }
        let run = std::mem::take(&mut self.run);
        self.push(&run, true);
        self.run = run;
        self.run.clear();
    }

    fn push(&mut self, word: &[u8], spelled: bool) {
        if word.iter().all(u8::is_ascii_digit) {
            (self.each)(b"#", false);
            return;
        }
        let repeated = word.windows(3).any(|three| three[0] == three[1] && three[1] == three[2]);
        if repeated {
            self.push_at_most(word, 2, spelled);
        }
        self.push_at_most(word, if repeated { 1 } else { 2 }, spelled);
    }

    /// The word with no letter more than `most` times in a row.
    fn push_at_most(&mut self, word: &[u8], most: usize, spelled: bool) {
        self.word.clear();
        let mut times = 0;
        for (at, byte) in word.iter().enumerate() {
            times = if at > 0 && word[at - 1] == *byte { times + 1 } else { 1 };
            if times <= most {
                self.word.push(undigit(*byte));
            }
        }
        let word = stem(&mut self.word);
        word.iter_mut().for_each(|byte| *byte = look(*byte));
        (self.each)(word, spelled);
    }
}

/// The letter a digit inside a word stands for.
fn undigit(byte: u8) -> u8 {
    match byte {
        b'0' => b'o',
        b'1' => b'l',
        b'3' => b'e',
        b'4' => b'a',
        b'5' => b's',
        b'7' => b't',
        b'8' => b'b',
        b'9' | b'6' => b'g',
        byte => byte,
    }
}

/// One byte for the letters that are one in [`unmasked`].
pub(super) fn look(byte: u8) -> u8 {
    match byte {
        b'l' => b'i',
        byte => byte,
    }
}
