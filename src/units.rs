//! Sizes as people write them: `20G`, counting by 1024. Limits and messages are the caller's.

/// `20G` → bytes: a whole number, then K, M, G or T. `None` if it is written otherwise, or too large to count.
pub fn bytes(text: &str) -> Option<u64> {
    let (at, unit) = text.char_indices().next_back()?;
    let shift = match unit {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        'T' => 40,
        _ => return None,
    };
    let digits = text.get(..at).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_whole_numbers_with_a_unit() {
        let good = [("1K", 1 << 10), ("700M", 700 << 20), ("4G", 4 << 30), ("3T", 3 << 40), ("0G", 0)];
        assert!(good.iter().all(|(text, want)| bytes(text) == Some(*want)));
        for bad in [
            "",
            "4",
            "G",
            "-1G",
            "+1G",
            "1 G",
            "4g",
            "1.5G",
            "99999999999999999999G",
            "36028797018963968K",
            "1é",
        ] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }
}
