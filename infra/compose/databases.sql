-- PostgreSQL makes the database `prefect` by itself when it starts for the first time.
CREATE DATABASE mlflow OWNER retune;
