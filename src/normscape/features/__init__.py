"""From images to tokens: preprocessing, extraction, the feature store and the token transform."""
