//! The forms of a text that phrases are looked for in: one byte a character, words between single spaces.
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

/// The text as it is written, and whether a second look is worth its time.
pub(super) struct Plain {
    /// ` word word `
    pub(super) bytes: Vec<u8>,
    /// Something may hide words: digits or marks inside of them, single letters in a row, letters repeated.
    pub(super) tricky: bool,
    start: usize,
    /// The word before is a number, and only one mark stands between.
    joined: bool,
    after_single: bool,
    /// The mark that stands directly before.
    mark: Option<u32>,
}

impl Plain {
    pub(super) fn of(codes: &[u32]) -> Self {
        let mut bytes = Vec::with_capacity(codes.len() * 2 + 16);
        bytes.push(b' ');
        let mut plain =
            Self { bytes, tricky: false, start: 1, joined: false, after_single: false, mark: None };
        for &code in codes {
            if code <= LAST_SIGN {
                plain.sign(code);
            } else if regional(code).is_some() {
                plain.tricky = true;
            } else {
                plain.letter(byte(code));
            }
        }
        plain.end_word();
        plain
    }

    fn sign(&mut self, code: u32) {
        match code {
            SPACE => {
                self.end_word();
                self.mark = None;
                self.joined = false;
            }
            PERCENT | CURRENCY | DOLLAR => {
                self.tricky |= self.bytes.last().is_some_and(|last| is_letter(*last));
                self.end_word();
                self.bytes.extend(if code == PERCENT { b"% " } else { b"$ " });
                self.start = self.bytes.len();
                (self.joined, self.mark) = (false, None);
            }
            mark => {
                self.end_word();
                self.joined &= self.mark.is_none();
                self.mark = Some(mark);
            }
        }
    }

    #[inline]
    fn letter(&mut self, byte: u8) {
        if self.start == self.bytes.len()
            && let Some(mark) = self.mark.take()
        {
            let tight = !byte.is_ascii_digit();
            self.tricky |= tight;
            if mark == DOT && tight && self.bytes.len() > 1 {
                self.bytes.extend(b". ");
                self.start = self.bytes.len();
            }
        }
        self.bytes.push(byte);
    }

    fn end_word(&mut self) {
        let word = &self.bytes[self.start..];
        if word.is_empty() {
            return;
        }
        let digits = word.iter().filter(|byte| byte.is_ascii_digit()).count();
        let single = word.len() == 1;
        let number = digits == word.len();
        if number {
            self.bytes.truncate(self.start);
            if !self.joined {
                self.bytes.extend(b"# ");
            }
        } else {
            self.tricky |= word.windows(3).any(|three| three[0] == three[1] && three[1] == three[2]);
            if digits > 0 {
                self.tricky = true;
                self.split_number();
            } else {
                stem(&mut self.bytes, self.start);
            }
            self.bytes.push(b' ');
        }
        self.tricky |= single && self.after_single && !number;
        self.after_single = single;
        self.joined = number;
        self.mark = None;
        self.start = self.bytes.len();
    }

    /// `199sar` is `# sar`, `save40` is `save #`; a single digit may be a letter in disguise and stays.
    fn split_number(&mut self) {
        let word = &self.bytes[self.start..];
        let leading = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let trailing = word.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        if trailing >= 2 {
            self.bytes.truncate(self.bytes.len() - trailing);
            self.bytes.extend(b" #");
        }
        if leading >= 2 {
            self.bytes.splice(self.start..self.start + leading, *b"# ");
        }
    }
}

/// The text with its disguises taken off: marks inside words removed, letters set apart joined, digits and signs read as
/// the letters they look like, repeated letters once. `l` and `i` are one letter here, because `1`, `!` and `|` are both.
pub(super) struct Unmasked {
    /// ` word word `
    pub(super) bytes: Vec<u8>,
    /// Long runs of letters that were set apart, where the ends of words are lost: ` run run `.
    pub(super) spelled: Vec<u8>,
    token: Vec<u8>,
    run: Vec<u8>,
    gap: usize,
    sign: Option<u8>,
}

/// Shorter runs of single letters are words; longer ones may be several.
const SPELLED_LENGTH: usize = 7;

impl Unmasked {
    pub(super) fn of(codes: &[u32]) -> Self {
        let mut bytes = Vec::with_capacity(codes.len() * 2 + 16);
        bytes.push(b' ');
        let mut unmasked =
            Self { bytes, spelled: Vec::new(), token: Vec::new(), run: Vec::new(), gap: 0, sign: None };
        for &code in codes {
            unmasked.code(code);
        }
        unmasked.end_token();
        unmasked.end_run();
        unmasked
    }

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
                self.bytes.extend(if code == PERCENT { b"% " } else { b"$ " });
            }
            0..=LAST_SIGN => {}
            code => {
                let byte = regional(code).unwrap_or_else(|| byte(code));
                match self.sign.take() {
                    Some(sign) if is_letter(byte) => self.token.push(sign),
                    Some(b's') => self.bytes.extend(b"$ "),
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
                self.push(&word);
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
        if run.len() >= SPELLED_LENGTH {
            self.spelled.extend(run.iter().map(|byte| look(*byte)));
            self.spelled.push(b' ');
        }
        self.push(&run);
        self.run = run;
        self.run.clear();
    }

    fn push(&mut self, word: &[u8]) {
        if word.iter().all(u8::is_ascii_digit) {
            self.bytes.extend(b"# ");
            return;
        }
        let repeated = word.windows(3).any(|three| three[0] == three[1] && three[1] == three[2]);
        if repeated {
            self.push_at_most(word, 2);
        }
        self.push_at_most(word, if repeated { 1 } else { 2 });
    }

    /// The word with no letter more than `most` times in a row.
    fn push_at_most(&mut self, word: &[u8], most: usize) {
        let start = self.bytes.len();
        let mut times = 0;
        for (at, byte) in word.iter().enumerate() {
            times = if at > 0 && word[at - 1] == *byte { times + 1 } else { 1 };
            if times <= most {
                self.bytes.push(undigit(*byte));
            }
        }
        stem(&mut self.bytes, start);
        self.bytes[start..].iter_mut().for_each(|byte| *byte = look(*byte));
        self.bytes.push(b' ');
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

/// One byte for the letters that are one in [`Unmasked`].
pub(super) fn look(byte: u8) -> u8 {
    match undigit(byte) {
        b'l' => b'i',
        byte => byte,
    }
}
