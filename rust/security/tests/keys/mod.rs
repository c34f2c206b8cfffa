//! Keys for the tests, made once in each run, in the text form that users have them in.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// A private key and its public one (PEM).
pub(crate) struct Pair {
    pub(crate) private: Vec<u8>,
    pub(crate) public: Vec<u8>,
}

pub(crate) static EC: LazyLock<Pair> = LazyLock::new(|| {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).unwrap();
    pair(document.as_ref(), key.public_key())
});

pub(crate) static ED: LazyLock<Pair> = LazyLock::new(|| {
    let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document.as_ref()).unwrap();
    pair(document.as_ref(), key.public_key())
});

pub(crate) static RSA: LazyLock<Pair> = LazyLock::new(|| {
    let key = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let document: Pkcs8V1Der = key.as_der().unwrap();
    pair(document.as_ref(), key.public_key())
});

fn pair(private: &[u8], public: &impl AsDer<PublicKeyX509Der<'static>>) -> Pair {
    Pair {
        private: pem("PRIVATE KEY", private),
        public: pem("PUBLIC KEY", public.as_der().unwrap().as_ref()),
    }
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
    .into_bytes()
}
