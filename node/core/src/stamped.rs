//! A duration and when it was brought up to date, in one atomic word: a reader never sees halves of two updates.
//!
//! The stamp is in milliseconds and wraps after 49 days; ages are differences of less than half of that.
//! A measurement older still looks new, until the next sample.

/// See the module's text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamped {
    /// Microseconds, at least 1, which keeps the packed word from being 0. 24 bits are enough for an average.
    pub(crate) us: f32,
    pub(crate) at_ms: u32,
}

impl Stamped {
    /// A sample of now.
    pub(crate) fn new(now_us: u64, sample_us: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "24 bits are enough")]
        let us = (sample_us as f32).max(1.0);
        Self { us, at_ms: millis(now_us) }
    }

    pub(crate) fn pack(self) -> u64 {
        u64::from(self.us.to_bits()) << 32 | u64::from(self.at_ms)
    }

    /// None of 0, in which nothing was packed.
    #[expect(clippy::cast_possible_truncation, reason = "takes the word apart")]
    pub(crate) fn unpack(word: u64) -> Option<Self> {
        (word != 0).then(|| Self { us: f32::from_bits((word >> 32) as u32), at_ms: word as u32 })
    }

    /// 0 when another thread has brought it up to date since `now` was read.
    pub(crate) fn age_ms(self, now_ms: u32) -> u32 {
        u32::try_from(now_ms.wrapping_sub(self.at_ms).cast_signed()).unwrap_or(0)
    }
}

/// A moment as stamps have it.
#[expect(clippy::cast_possible_truncation, reason = "wraps, see the module's text")]
pub(crate) fn millis(now_us: u64) -> u32 {
    (now_us / 1000) as u32
}
