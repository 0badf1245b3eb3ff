"""TFLite export: conversion, quantization, metadata, checks."""
