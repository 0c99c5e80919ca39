//! HTTP/1.1 as cheaply as it can be spoken: the load shares its cores with what is measured.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than a gateway takes for any answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that is kept.
pub struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    /// # Errors
    /// Nobody listens.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(4_096) })
    }

    /// Sends a whole request; gives its answer's status.
    ///
    /// # Errors
    /// The connection broke, no answer came, or it is none that a gateway gives.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.answer.clear();
        let exchange = async {
            self.stream.write_all(request).await?;
            loop {
                if self.stream.read_buf(&mut self.answer).await? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                if let Some(length) = length(&self.answer)
                    && self.answer.len() >= length
                {
                    return status(&self.answer).ok_or_else(|| Error::from(ErrorKind::InvalidData));
                }
            }
        };
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    }

    /// The last answer, head and body.
    pub fn answer(&self) -> String {
        String::from_utf8_lossy(&self.answer).into_owned()
    }
}

/// How long a whole answer is, once its head is there.
fn length(answer: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length: ";
    let head = memmem::find(answer, b"\r\n\r\n")? + 4;
    let body = memmem::find(&answer[..head], NAME).map_or(Some(0), |at| {
        let mut digits = answer[at + NAME.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        digits.try_fold(0_usize, |sum, digit| sum.checked_mul(10)?.checked_add(usize::from(digit - b'0')))
    })?;
    Some(head + body)
}

fn status(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}
