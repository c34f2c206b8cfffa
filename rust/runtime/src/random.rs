//! What cannot be guessed.

/// 128 random bits of the system.
///
/// # Errors
///
/// The system has none.
pub fn random_key() -> Result<[u8; 16], getrandom::Error> {
    let mut key = [0; 16];
    getrandom::fill(&mut key)?;
    Ok(key)
}
