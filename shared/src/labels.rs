//! Return labels: PDF files that anybody can fetch who knows their id, for some days.

use std::time::Duration;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use rand::CryptoRng;

use crate::{
    clock,
    id::{InvalidId, LabelId},
};

/// A label.
#[derive(Clone, PartialEq, Eq)]
pub struct Label {
    /// The file. It holds somebody's home, so there is no `Debug`.
    pub pdf: Vec<u8>,
    /// After this there is no such label.
    pub expires_at: Timestamp,
}

/// A label that is not kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the label has {0} bytes, which is more than {MAX_BYTES}")]
pub struct TooLarge(usize);

/// An item of DynamoDB takes 400 KB with all that belongs to it. Real labels have 10 to 100.
const MAX_BYTES: usize = 350 * 1024;
/// Long enough to print it, and to notice that it was not.
const KEPT_FOR: Duration = Duration::from_hours(7 * 24);

impl Label {
    /// A label that was got at `now`.
    pub fn new(pdf: Vec<u8>, now: Timestamp) -> Result<Self, TooLarge> {
        if pdf.len() > MAX_BYTES {
            return Err(TooLarge(pdf.len()));
        }
        Ok(Self { pdf, expires_at: clock::after(now, KEPT_FOR) })
    }

    /// Whether it can still be fetched.
    pub fn is_kept(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }
}

/// A new id, which is all that somebody needs to fetch a label: 256 random bits.
pub fn new_id(rng: &mut impl CryptoRng) -> Result<LabelId, InvalidId> {
    let mut random = [0; 32];
    rng.fill_bytes(&mut random);
    HEXLOWER.encode(&random).parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_can_be_fetched_for_a_week() {
        let now = Timestamp::UNIX_EPOCH;
        let Ok(label) = Label::new(b"%PDF".to_vec(), now) else { panic!("it is small") };
        let days = |days: u64| clock::after(now, Duration::from_hours(days * 24));
        assert!(label.is_kept(now) && label.is_kept(days(6)) && !label.is_kept(days(7)));
    }

    #[test]
    fn what_no_item_can_hold_is_refused() {
        let now = Timestamp::UNIX_EPOCH;
        assert!(Label::new(vec![0; MAX_BYTES], now).is_ok());
        assert_eq!(Label::new(vec![0; MAX_BYTES + 1], now).err(), Some(TooLarge(MAX_BYTES + 1)));
    }

    #[test]
    fn ids_are_random_and_read_back() {
        let ids = [(); 2].map(|()| new_id(&mut rand::rng()).unwrap());
        assert_ne!(ids[0], ids[1]);
        assert_eq!(ids[0].as_str().len(), 64);
    }
}
