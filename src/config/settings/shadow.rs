//! `[shadow]`

use crate::config::{
    key::{Key, Kind, Section},
    values,
};

section! {
    /// How forwarded answers are compared with translated ones.
    SHADOW: ShadowSettings => ShadowConfig, "shadow", "Comparison";

    /// Comparisons at the same time, 1 to 256; further ones are left out
    max_in_flight: usize = values::concurrency {
        flag: "--shadow-max-in-flight", value: "N", variable: "JOBSHIM_SHADOW_MAX_IN_FLIGHT", default: "4", live: true,
    }

    /// Of the requests that could be compared, those that are
    sample: values::Share = values::share {
        flag: "--shadow-sample", value: "PERCENT", variable: "JOBSHIM_SHADOW_SAMPLE", default: "100%", live: true,
    }

    /// A field that comparisons pass over, such as prompt[3].client_id or outputs.*.text; may be repeated
    ///
    /// It is a path into an entry as the tables have them; * is any one key or index. The variable takes several with ";"
    /// between them.
    ignore: Vec<crate::config::field_path::FieldPath> = values::paths {
        flag: "--shadow-ignore", value: "PATH", variable: "JOBSHIM_SHADOW_IGNORE", default: "", kind: Kind::List,
        live: true,
    }
}
