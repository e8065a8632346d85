//! A byte stream that gives up on a peer that takes nothing, and that lets a peer read the last answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Most bytes read and thrown away at the end of a connection.
const LINGER_BYTES: usize = 4 * 1024 * 1024;
/// Longest time for that.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// Bytes thrown away at a time.
const LINGER_PIECE: usize = 4 * 1024;

/// Fails a write with `TimedOut` once the peer has taken no byte for `limit`. Without it, a client that stops reading
/// would hold a connection, a request permit and an answer for ever.
///
/// At the end it reads what the peer still sends, for a while: closing a socket with unread bytes resets it, and the
/// peer would never see why its request was refused (413, 431).
pub(crate) struct GuardedStream<S> {
    inner: S,
    limit: Duration,
    /// Set while a write waits.
    timer: Option<Pin<Box<Sleep>>>,
    closing: Closing,
}

/// How far the end of a connection is.
enum Closing {
    /// Not begun.
    Open,
    /// The peer was told; bytes of it are thrown away.
    Lingering { n_left: usize, timer: Pin<Box<Sleep>> },
    /// Nothing more to wait for.
    Done,
}

impl<S> GuardedStream<S> {
    pub(crate) fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit, timer: None, closing: Closing::Open }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.timer = None;
            return outcome;
        }
        let limit = self.limit;
        let timer =
            self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no bytes")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> GuardedStream<S> {
    /// Reads and forgets. Ready at the peer's end, at the limits, or when nothing had arrived in the first place.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut piece = [0; LINGER_PIECE];
        let Closing::Lingering { n_left, timer } = &mut self.closing else { return Poll::Ready(()) };
        while *n_left > 0 && timer.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut piece);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    *n_left = n_left.saturating_sub(buf.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(()),
                // A peer that had sent nothing more is not waited for.
                Poll::Pending if *n_left == LINGER_BYTES => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.closing, Closing::Open) {
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            let timer = Box::pin(tokio::time::sleep(LINGER_TIME));
            self.closing = Closing::Lingering { n_left: LINGER_BYTES, timer };
        }
        ready!(self.poll_linger(cx));
        self.closing = Closing::Done;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_is_served_and_one_that_stops_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut guarded = GuardedStream::new(ours, Duration::from_secs(60));
        let writer = tokio::spawn(async move { guarded.write_all(&[7; 48]).await });
        let mut piece = [0; 16];
        // Each read comes within the limit, both together do not.
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(50)).await;
            theirs.read_exact(&mut piece).await.unwrap();
        }
        writer.await.unwrap().unwrap();

        let (ours, _theirs) = tokio::io::duplex(16);
        let mut guarded = GuardedStream::new(ours, Duration::from_secs(60));
        let error = guarded.write_all(&[7; 48]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_peer_still_sends_is_read_before_the_end() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut guarded = GuardedStream::new(ours, Duration::from_secs(60));
        let sender = tokio::spawn(async move { theirs.write_all(&[7; 48]).await });
        tokio::task::yield_now().await;
        guarded.shutdown().await.unwrap();
        sender.await.unwrap().expect("every byte was taken");

        let (ours, _silent) = tokio::io::duplex(16);
        let start = Instant::now();
        GuardedStream::new(ours, Duration::from_secs(60)).shutdown().await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO, "a silent peer is not waited for");
    }
}
