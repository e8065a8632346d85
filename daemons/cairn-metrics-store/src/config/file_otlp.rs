//! `otlp:` as written and as used.

use serde::{Deserialize, Serialize};

use super::resolve::{BadValue, bad};
use crate::otlp::OtlpSettings;
use crate::otlp::names::{LabelNames, Strategy};

/// `otlp:`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Otlp {
    /// Attributes of resources that become labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promote_resource_attributes: Option<Vec<String>>,
    /// Whether all of them do,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promote_all_resource_attributes: Option<bool>,
    /// but these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_resource_attributes: Option<Vec<String>>,
    /// `UnderscoreEscapingWithSuffixes`, `UnderscoreEscapingWithoutSuffixes`, `NoUTF8EscapingWithSuffixes`,
    /// `NoTranslation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub translation_strategy: Option<String>,
    /// Whether `target_info` also has what became `job` and `instance`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_identifying_resource_attributes: Option<bool>,
    /// Whether histograms with bounds become native ones with custom buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convert_histograms_to_nhcb: Option<bool>,
    /// Whether name, version and attributes of the library become labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promote_scope_metadata: Option<bool>,
    /// Whether a label `_a` is named `key_a`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_name_underscore_sanitization: Option<bool>,
    /// Whether several underscores in a row stay in the names of labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_name_preserve_multiple_underscores: Option<bool>,
}

impl Otlp {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// With the defaults filled in.
    ///
    /// # Errors
    /// [`BadValue`]
    pub(super) fn resolve(&self) -> Result<OtlpSettings, BadValue> {
        let default = OtlpSettings::default();
        let name = self.translation_strategy.as_deref().unwrap_or_default();
        let Some(strategy) = Strategy::of(name) else {
            let message =
                format!("unsupported OTLP translation strategy {}", cairn_model::gotext::quote(name));
            return bad("otlp.translation_strategy", message);
        };
        let promotes_all = self.promote_all_resource_attributes.unwrap_or(default.promotes_all);
        let (promoted, unpromoted) = (&self.promote_resource_attributes, &self.ignore_resource_attributes);
        if promotes_all && promoted.as_ref().is_some_and(|list| !list.is_empty()) {
            let message = "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured \
                           simultaneously";
            return bad("otlp", message);
        }
        if !promotes_all && unpromoted.as_ref().is_some_and(|list| !list.is_empty()) {
            let message = "'ignore_resource_attributes' cannot be configured unless \
                           'promote_all_resource_attributes' is true";
            return bad("otlp", message);
        }
        Ok(OtlpSettings {
            strategy,
            label_names: LabelNames {
                has_key_prefix: self
                    .label_name_underscore_sanitization
                    .unwrap_or(default.label_names.has_key_prefix),
                keeps_underscores: self
                    .label_name_preserve_multiple_underscores
                    .unwrap_or(default.label_names.keeps_underscores),
            },
            promoted: promoted.clone().unwrap_or_default(),
            promotes_all,
            unpromoted: unpromoted.clone().unwrap_or_default(),
            keeps_identifying: self.keep_identifying_resource_attributes.unwrap_or(default.keeps_identifying),
            makes_native: self.convert_histograms_to_nhcb.unwrap_or(default.makes_native),
            has_scope: self.promote_scope_metadata.unwrap_or(default.has_scope),
        })
    }
}
