"""The stages of the pipeline and what they are made of; nothing here imports prefect."""
