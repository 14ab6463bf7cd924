"""What other fine-tuning tools call the keys of a recipe, so that who comes from them is told.

`per_device_train_batch_size` (transformers, TRL, LLaMA-Factory), `micro_batch_size` (Axolotl)
-> `train.batch_tokens`
"""

_OTHERS = {
    "base_model": "model model_name model_name_or_path pretrained_model_name_or_path",
    "tasks.0.source": "dataset datasets dataset_name data data_path train_file",
    "tasks.0.source.path": "file files data_file data_files",
    "tasks.0.source.subset": "dataset_config dataset_config_name",
    "tasks.0.prompts": "prompt prompt_template prompt_file template",
    "tasks.0.max_examples": "max_samples max_train_samples",
    "tasks.0.metrics": "metric",
    "split.validation": "eval val dev val_size val_set_size eval_size eval_dataset",
    "split.test": "test_size",
    "train.method": "finetuning_type adapter peft load_in_4bit load_in_8bit quantization_bit",
    "train.lora.rank": "r lora_r lora_rank",
    "train.lora.alpha": "lora_alpha",
    "train.lora.dropout": "lora_dropout",
    "train.lora.targets": "target_modules lora_target lora_target_modules lora_target_linear",
    "train.epochs": "num_epochs num_train_epochs n_epochs",
    "train.optimizer": "optim",
    "train.learning_rate": "lr",
    "train.batch_tokens": "batch_size train_batch_size per_device_train_batch_size "
    "micro_batch_size gradient_accumulation_steps",
    "train.schedule": "scheduler lr_scheduler lr_scheduler_type",
    "train.warmup": "warmup_ratio warmup_steps num_warmup_steps",
    "train.max_grad_norm": "gradient_clipping grad_clip",
    "train.max_prompt_tokens": "max_length max_seq_length max_seq_len sequence_len cutoff_len "
    "max_source_length model_max_length max_prompt_length",
    "train.max_completion_tokens": "max_target_length max_completion_length",
    "train.precision": "bf16 fp16 tf32 dtype torch_dtype",
    "train.packing": "sample_packing",
    "train.patience": "early_stopping early_stopping_patience",
    "train.launch.accelerate": "deepspeed fsdp",
    "train.launch.processes_per_node": "num_processes nproc_per_node num_gpus gpus",
    "generation.max_new_tokens": "max_tokens",
    "forgetting.probes": "probe_suite",
}

OTHER_NAMES = {other: ours for ours, others in _OTHERS.items() for other in others.split()}
"""Another tool's name -> the key of a recipe that comes closest."""
