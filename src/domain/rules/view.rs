//! The words of a text, in two readings. Each word is bytes, one for a letter.
//!
//! A number is `#`, a percent sign `%`, a sign of money `$`, a dot inside a word `.`, each a word of its own. Arabic
//! letters are bytes above 0x80, all other letters `?`. Words lose what only their grammar adds (see [`stem`]).

use super::run::Run;
use super::stem::stem;
use super::word::{SHORT, Word};
use crate::domain::fold::{
    AT, CURRENCY, DOLLAR, DOT, LAST_SIGN, PERCENT, SPACE, STROKE, is_arabic, regional,
};

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_lowercase() || is_arabic(byte)
}

/// Whether a letter, no digit and no half of a flag, stands between two signs.
#[inline]
fn stands_alone(letters: &[u8], at: usize) -> bool {
    letters[at] >= b'a' && letters.get(at + 1).is_none_or(|next| *next <= LAST_SIGN)
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
pub(super) fn plain(letters: &[u8], each: impl FnMut(Word<'_>)) -> Writing {
    let mut plain = Plain {
        each,
        kept: Vec::new(),
        last: 0,
        writing: Writing::default(),
        any: false,
        joined: false,
        singles: 0,
        mark: None,
    };
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        if letter <= LAST_SIGN {
            plain.sign(letter, at > 0 && letters[at - 1] > LAST_SIGN);
            at += 1;
        } else if stands_alone(letters, at) {
            plain.single(letters, at);
            at += 1;
        } else {
            let run = Run::of(&letters[at..]);
            plain.run(letters, at, run);
            at += run.length;
        }
    }
    plain.writing
}

struct Plain<F> {
    each: F,
    /// What is left of a word when halves of flags are taken out of it.
    kept: Vec<u8>,
    /// The last letter of the word before, if it has any.
    last: u8,
    writing: Writing,
    /// There was a word.
    any: bool,
    /// The word before is a number, and only one mark stands between.
    joined: bool,
    /// So many words before have one letter.
    singles: u32,
    /// The mark that stands directly before.
    mark: Option<u8>,
}

impl<F: FnMut(Word<'_>)> Plain<F> {
    fn sign(&mut self, sign: u8, after_letter: bool) {
        match sign {
            SPACE => (self.joined, self.mark) = (false, None),
            PERCENT | CURRENCY | DOLLAR => {
                self.writing.tricky |= after_letter && is_letter(self.last);
                self.emit(if sign == PERCENT { b"%" } else { b"$" });
                (self.joined, self.mark) = (false, None);
            }
            mark => {
                self.joined &= self.mark.is_none();
                self.mark = Some(mark);
            }
        }
    }

    /// Reads what stands between two signs. Halves of flags are no part of the word.
    #[inline]
    fn run(&mut self, text: &[u8], from: usize, run: Run) {
        if run.flags {
            self.writing.tricky = true;
            let mut kept = std::mem::take(&mut self.kept);
            kept.clear();
            kept.extend(text[from..from + run.length].iter().filter(|letter| regional(**letter).is_none()));
            self.word(&kept, 0, Run::of(&kept));
            self.kept = kept;
        } else {
            self.word(text, from, run);
        }
    }

    /// A word of one letter. Where words are spelled there are many.
    #[inline]
    fn single(&mut self, text: &[u8], at: usize) {
        self.last = text[at];
        self.separate(true);
        self.singles += 1;
        self.writing.spelled = self.writing.spelled.max(self.singles);
        self.writing.tricky |= self.singles > 1;
        (self.each)(Word::within(text, at..at + 1));
        (self.any, self.joined, self.mark) = (true, false, None);
    }

    /// Looks at what stands before a word: a mark without a space, and before a letter, may hide one.
    #[inline]
    fn separate(&mut self, letter: bool) {
        let tight = self.mark.is_some() && letter;
        self.writing.tricky |= tight;
        if tight && self.mark == Some(DOT) && self.any {
            self.emit(b".");
        }
    }

    #[inline]
    fn word(&mut self, text: &[u8], from: usize, run: Run) {
        let word = &text[from..from + run.length];
        self.last = word.last().copied().unwrap_or_default();
        let Some(first) = word.first() else { return };
        self.separate(!first.is_ascii_digit());
        self.singles = if run.length == 1 && !run.number { self.singles + 1 } else { 0 };
        self.writing.spelled = self.writing.spelled.max(self.singles);
        if run.number {
            if !self.joined {
                self.emit(b"#");
            }
        } else {
            self.writing.tricky |= run.repeated || run.digits;
            if run.digits {
                self.split_number(word);
            } else {
                let stem = stem(word);
                (self.each)(Word::within(text, from + stem.start..from + stem.end));
            }
        }
        self.writing.tricky |= self.singles > 1;
        (self.any, self.joined, self.mark) = (true, run.number, None);
    }

    fn emit(&mut self, sign: &[u8; 1]) {
        (self.each)(Word::of(sign));
        self.any = true;
    }

    /// `199sar` is `# sar`, `save40` is `save #`; a single digit may be a letter in disguise and stays.
    fn split_number(&mut self, word: &[u8]) {
        let leading = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let trailing = word.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let from = if leading >= 2 { leading } else { 0 };
        let to = word.len() - if trailing >= 2 { trailing } else { 0 };
        if from > 0 {
            (self.each)(Word::of(b"#"));
        }
        (self.each)(Word::within(word, from..to));
        if to < word.len() {
            (self.each)(Word::of(b"#"));
        }
    }
}

/// Calls with each word of the text with its disguises taken off: marks inside words removed, letters set apart joined,
/// digits and signs read as the letters they look like, repeated letters once. `l` and `i` are one letter here, because
/// `1`, `!` and `|` are both. With each word comes whether it was put together from single letters.
pub(super) fn unmasked(letters: &[u8], each: impl FnMut(Word<'_>, bool)) {
    let mut unmasked = Unmasked {
        each,
        word: Vec::with_capacity(64),
        token: Vec::with_capacity(64),
        run: Vec::new(),
        repeated: false,
        gap: 0,
        sign: None,
    };
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        if letter <= LAST_SIGN {
            unmasked.sign(letter);
            at += 1;
        } else if stands_alone(letters, at) {
            unmasked.single(letter);
            at += 1;
        } else {
            let run = Run::of(&letters[at..]);
            unmasked.letters(&letters[at..at + run.length], run.flags);
            at += run.length;
        }
    }
    unmasked.end_token();
    unmasked.end_run();
}

struct Unmasked<F> {
    each: F,
    word: Vec<u8>,
    token: Vec<u8>,
    /// Letters set apart, none more than twice in a row.
    run: Vec<u8>,
    /// One of them came more often.
    repeated: bool,
    gap: usize,
    sign: Option<u8>,
}

impl<F: FnMut(Word<'_>, bool)> Unmasked<F> {
    #[inline]
    fn sign(&mut self, sign: u8) {
        match sign {
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
                (self.each)(Word::of(if sign == PERCENT { b"%" } else { b"$" }), false);
            }
            _ => {}
        }
    }

    /// Adds what stands between two signs.
    #[inline]
    fn letters(&mut self, letters: &[u8], flags: bool) {
        self.end_sign(letters[0]);
        if flags {
            self.token.extend(letters.iter().map(|letter| regional(*letter).unwrap_or(*letter)));
        } else {
            self.token.extend_from_slice(letters);
        }
    }

    /// Adds a letter between two signs.
    #[inline]
    fn single(&mut self, letter: u8) {
        self.end_sign(letter);
        self.token.push(letter);
    }

    /// A sign before a letter may stand for one.
    #[inline]
    fn end_sign(&mut self, next: u8) {
        if let Some(sign) = self.sign.take() {
            if is_letter(regional(next).unwrap_or(next)) {
                self.token.push(sign);
            } else if sign == b's' {
                (self.each)(Word::of(b"$"), false);
            }
        }
    }

    #[inline]
    fn end_token(&mut self) {
        self.sign = None;
        match self.token[..] {
            [] => return,
            [byte] if is_letter(byte) || !self.run.is_empty() => {
                if self.gap > 1 {
                    self.end_run();
                }
                if self.run.ends_with(&[byte; 2]) {
                    self.repeated = true;
                } else {
                    self.run.push(byte);
                }
            }
            _ => {
                self.end_run();
                let word = std::mem::take(&mut self.token);
                self.push(&word, Run::of(&word), false);
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
        let letters = std::mem::take(&mut self.run);
        let mut run = Run::of(&letters);
        run.repeated = std::mem::take(&mut self.repeated);
        self.push(&letters, run, true);
        self.run = letters;
        self.run.clear();
    }

    fn push(&mut self, word: &[u8], run: Run, spelled: bool) {
        if run.number {
            (self.each)(Word::of(b"#"), false);
            return;
        }
        self.word.clear();
        if run.repeated {
            self.push_at_most(word, 2, spelled);
            self.push_at_most(word, 1, spelled);
        } else if run.digits {
            self.word.extend(word.iter().map(|letter| undigit(*letter)));
            self.emit(spelled);
        } else {
            self.word.extend_from_slice(word);
            self.emit(spelled);
        }
    }

    /// The word with no letter more than `most` times in a row.
    fn push_at_most(&mut self, word: &[u8], most: usize, spelled: bool) {
        let (mut times, mut before) = (0, 0);
        for &letter in word {
            times = if letter == before { times + 1 } else { 1 };
            before = letter;
            if times <= most {
                self.word.push(undigit(letter));
            }
        }
        self.emit(spelled);
    }

    fn emit(&mut self, spelled: bool) {
        let stem = stem(&self.word);
        self.word[stem.clone()].iter_mut().for_each(|byte| *byte = look(*byte));
        self.word.extend_from_slice(&[0; SHORT]);
        (self.each)(Word::within(&self.word, stem), spelled);
        self.word.clear();
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
