//! How the releases differ: the one place that knows (Enterprise Linux 7 to 10, pykickstart's handlers RHEL7 to RHEL10).

/// Major version of Enterprise Linux, as far as kickstart files differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum El {
    /// CentOS 7.
    El7,
    /// CentOS Stream 8 and its kin.
    El8,
    /// CentOS Stream 9 and its kin.
    El9,
    /// CentOS Stream 10 and its kin.
    El10,
}

impl El {
    /// The major that a [`crate::cluster::types::Release`] names.
    pub fn of(major: u8) -> Option<Self> {
        match major {
            7 => Some(El::El7),
            8 => Some(El::El8),
            9 => Some(El::El9),
            10 => Some(El::El10),
            _ => None,
        }
    }

    /// The number.
    pub fn major(self) -> u8 {
        match self {
            El::El7 => 7,
            El::El8 => 8,
            El::El9 => 9,
            El::El10 => 10,
        }
    }

    /// Line that the file begins with; removed in 9, deprecated in 8.
    pub(super) fn install_line(self) -> Option<&'static str> {
        (self == El::El7).then_some("install")
    }

    /// How to run without a person: 7 knows no `--non-interactive`.
    pub(super) fn mode_line(self) -> &'static str {
        if self == El::El7 { "cmdline" } else { "text --non-interactive" }
    }

    /// How accounts are looked up. `minimal` became `local` in authselect 1.5.
    pub(super) fn auth_line(self) -> &'static str {
        match self {
            El::El7 => "auth --enableshadow --passalgo=sha512",
            El::El8 | El::El9 => "authselect select minimal with-mkhomedir",
            El::El10 => "authselect select local with-mkhomedir",
        }
    }

    /// Whether time servers have a command of their own; before that they are an option of `timezone`.
    pub(super) fn has_timesource(self) -> bool {
        self >= El::El9
    }

    /// Whether `sshkey` is known for certain.
    pub(super) fn has_sshkey(self) -> bool {
        self >= El::El8
    }

    /// Whether crypt(3) knows yescrypt.
    pub(super) fn has_yescrypt(self) -> bool {
        self >= El::El9
    }

    /// Whether packages come in modules whose stream must be chosen.
    pub(super) fn has_modules(self) -> bool {
        self == El::El8
    }

    /// Options of `%packages`: no documentation, nothing merely recommended, English only.
    pub(super) fn packages_options(self) -> &'static str {
        match self {
            El::El7 => "--excludedocs",
            El::El8 => "--excludedocs --excludeWeakdeps --instLangs=en",
            El::El9 | El::El10 => "--excludedocs --exclude-weakdeps --inst-langs=en",
        }
    }

    /// The smallest environment.
    pub(super) fn environment(self) -> &'static str {
        if self == El::El7 { "@^minimal" } else { "@^minimal-environment" }
    }
}
